"""Open your own: drop a checkpoint, see what was recognised, correct it, analyse, watch."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import streamlit as st

from core.checkpoints.hugging_face import is_text_model
from core.feature_files import is_feature_file
from core.jobs import Job, warm
from core.language.request import TextRequest
from core.request import AnalysisRequest
from core.results import Candidate, CheckpointSummary, Settings
from core.text import in_badge, plain
from pages._ui import frame, jobs, upload
from pages._ui.choices import choose, drop, keep
from pages._ui.own_texts import facts as text_facts
from pages._ui.own_texts import text_step
from pages._ui.sidebar import open_analysis

DATA = {
    "own": "My images",
    "cifar10": "CIFAR-10 sample",
    "digits": "Digits",
    "weights": "Weights only",
}
MATCHES = {"names": "names match", "shapes": "shapes match", "given": "given"}


def checkpoint_step() -> AnalysisRequest | None:
    """Step 1: the dropped file, as a request without data yet."""
    st.header("1 Checkpoint", anchor=False)
    file = st.file_uploader(
        "Checkpoint or feature file", label_visibility="collapsed", key="checkpoint_file"
    )
    if file is None:
        return None
    path = upload.store(file)
    request = AnalysisRequest(str(path), checkpoint_name=file.name)
    if is_feature_file(path):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{plain(file.name)}**")
            st.badge("feature file", icon=":material/check:", color="green")
        return request
    inspection = inspection_of(file.file_id, request)
    status = inspection.status()
    if status.state not in jobs.FINISHED:
        waiting_for(inspection)
        return request
    if status.state == "failed":
        jobs.error_box(f"Cannot open {file.name}.", status.error or "")
        return None
    return recognised(request, status.result)


def inspection_of(file_id: str, request: AnalysisRequest) -> Job:
    """The job that looks into the file, submitted once for every upload."""
    seen = st.session_state.setdefault("_inspections", {})
    if file_id not in seen:
        seen[file_id] = jobs.submit("core.analysis:inspect", request, upload.session_folder())
    return seen[file_id]


@st.fragment(run_every=0.4)
def waiting_for(inspection: Job) -> None:
    if inspection.status().state in jobs.FINISHED:
        st.rerun()
    st.caption("Looking into the file …")


def recognised(request: AnalysisRequest, found: CheckpointSummary) -> AnalysisRequest:
    """What was recognised, and the choices that correct it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{plain(request.checkpoint_name)}**")
        if found.architecture is None:
            st.badge("architecture unknown", icon=":material/question_mark:", color="orange")
        else:
            label = f"{found.architecture}, {MATCHES.get(found.match, found.match)}"
            st.badge(in_badge(label), icon=":material/check:", color="green")
    texts = is_text_model(request.checkpoint)
    facts = [f"{found.parameters:,} parameters", found.format]
    told = [f"{key} {shown(value)}" for key, value in list(found.metadata.items())[:4]]
    facts += text_facts(found.metadata) if texts else told
    st.caption(plain(" · ".join(facts)))
    if found.architecture is None:
        st.markdown(
            "No known network has these tensors. Analyse shows what the weights alone tell, and "
            "what gives the rest: your own constructor, or a feature file."
        )
        return replace(request, settings=Settings(architecture="weights"))
    if texts:
        return request
    for warning in found.warnings:
        st.caption(plain(warning))
    return replace(request, settings=corrections(found.candidates))


def shown(value: object) -> str:
    """A value of the checkpoint's metadata; a long text is cut."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def corrections(candidates: tuple[Candidate, ...]) -> Settings:
    """Architecture and preprocessing, as recognised unless the reader changes them."""
    with st.expander("Network and preprocessing"):
        names = [candidate.architecture for candidate in candidates]
        by_name = {candidate.architecture: candidate for candidate in candidates}
        chosen = names[0] if names else "auto"
        if len(names) > 1:
            chosen = st.selectbox(
                "Architecture",
                ["auto", *by_name],
                format_func=lambda n: "all that fit, ranked by accuracy" if n == "auto" else n,
                key="architecture",
            )
        first = by_name.get(chosen, candidates[0] if candidates else None)
        if first is not None:
            note = f" · {first.note}" if first.note else ""
            st.caption(plain(f"From the checkpoint: {first.preprocessing}{note}"))
        columns = st.columns(3)
        mean = numbers(columns[0], "Mean", "0.485, 0.456, 0.406")
        std = numbers(columns[1], "Standard deviation", "0.229, 0.224, 0.225")
        size = numbers(columns[2], "Size (pixels)", "32")
    return Settings(
        architecture=chosen if len(names) > 1 else "auto",
        mean=mean,
        std=std,
        input_size=int(size[0]) if size and size[0] >= 1 else None,
    )


def numbers(place, label: str, example: str) -> tuple[float, ...] | None:
    """Numbers separated by commas; None where the field is empty: as the checkpoint says."""
    text = place.text_input(label, placeholder=f"e.g. {example}", key=f"set_{label}")
    if not text.strip():
        return None
    try:
        return tuple(float(part) for part in text.replace(";", ",").split(","))
    except ValueError:
        place.error(f"“{plain(text)}” is not a list of numbers; write them like {example}.")
        return None


def data_step(request: AnalysisRequest | None) -> AnalysisRequest | TextRequest | None:
    """Step 2: the reader's images or texts, or data that comes with the app."""
    st.header("2 Data", anchor=False)
    if request is not None and is_feature_file(Path(request.checkpoint)):
        st.caption("The feature file brings its own labels; no images are needed.")
        return request
    if request is not None and request.settings.architecture == "weights":
        st.caption("The weights are all that can be read here; no images are needed.")
        return request
    if request is not None and is_text_model(request.checkpoint):
        return text_step(request)
    source = choose(
        "source",
        list(DATA),
        "own",
        partial(
            st.segmented_control,
            "Data",
            required=True,
            format_func=DATA.__getitem__,
            label_visibility="collapsed",
        ),
    )
    data, name = None, ""
    if source == "own":
        data, name = own_images()
    elif source == "weights":
        st.caption("The classifier's rows, norms, spectra and zeros of the weights; no features.")
    else:
        data = source
    if request is None:
        return None
    if source == "weights":
        return replace(request, settings=replace(request.settings, architecture="weights"))
    return replace(request, data=data, data_name=name)


def own_images() -> tuple[str | None, str]:
    """Path and name of the dropped images; (None, "") without any."""
    file = st.file_uploader(
        "A zip of class folders, or an .npz with X and y",
        key="data_file",
        help="One folder of images for each class, or NumPy arrays: X (N, H, W[, C]) and y (N,).",
    )
    if file is None:
        st.caption("Without images of yours, CIFAR-10 or the digits are used where they fit.")
        return None, ""
    return str(upload.store(file)), file.name


def analyse_step(request: AnalysisRequest | TextRequest | None) -> None:
    """Analyse and Cancel."""
    job = jobs.following()
    running = job is not None and job.status().state not in jobs.FINISHED
    with st.container(horizontal=True, key="actions"):
        start = st.button("Analyse", type="primary", disabled=request is None or running)
        if st.button("Cancel", disabled=not running) and job is not None:
            job.cancel()
    if start and request is not None:
        keep("job", jobs.analyse(request).id)
        st.rerun()


def outdated(job: Job | None, request: AnalysisRequest | TextRequest | None) -> bool:
    """True for an analysis that ended without a result, once other files or settings are there."""
    ended = job is not None and job.status().state in jobs.FINISHED
    return ended and request is not None and job.args[0] != request


frame.guard(__file__)
warm()
job = jobs.following()
if job is not None and job.status().state == "done":
    drop("job")
    asked = job.args[0]
    again = job.owner == jobs.owner() and isinstance(asked, AnalysisRequest)
    open_analysis(job.status().result, asked if again else None)
frame.title(
    "Look inside your own network",
    line="A checkpoint (.pt, .pth, .th, .ckpt, .safetensors), a zip of a Hugging Face folder "
    "(images or text), or a feature file (.npz). Nothing in it is executed; limit 200 MB.",
)
left, right = st.columns(2, gap="medium")
with left, st.container(border=True, key="card_steps"):
    request = checkpoint_step()
    request = data_step(request)
    analyse_step(request)
with right, st.container(border=True, key="card_progress"):
    st.header("Progress", anchor=False)
    jobs.follow(None if outdated(job, request) else job)
