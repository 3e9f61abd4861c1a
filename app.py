"""Featurescope in the browser: ``streamlit run app.py``."""

import streamlit as st

from pages._ui import frame, sidebar

frame.begin()
page = st.navigation(
    {
        "Explore": [
            st.Page(
                "pages/overview.py", title="Overview", icon=":material/dashboard:", default=True
            ),
            st.Page("pages/class_means.py", title="Class means", icon=":material/hub:"),
            st.Page("pages/projections.py", title="Projections", icon=":material/scatter_plot:"),
            st.Page("pages/layers.py", title="Layers", icon=":material/layers:"),
            st.Page(
                "pages/intrinsic_dimension.py",
                title="Intrinsic dimension",
                icon=":material/straighten:",
            ),
            st.Page("pages/topology.py", title="Topology", icon=":material/data_usage:"),
            st.Page("pages/sparsity.py", title="Sparsity", icon=":material/grain:"),
            st.Page("pages/robustness.py", title="Robustness", icon=":material/shield:"),
        ],
        "Compare": [
            st.Page(
                "pages/training_dynamics.py",
                title="Training dynamics",
                icon=":material/movie:",
            ),
            st.Page("pages/compare_runs.py", title="Compare runs", icon=":material/compare:"),
            st.Page(
                "pages/distribution_shift.py",
                title="Distribution shift",
                icon=":material/swap_horiz:",
            ),
            st.Page("pages/transfer.py", title="Transfer", icon=":material/moving:"),
            st.Page("pages/loss_landscape.py", title="Loss landscape", icon=":material/terrain:"),
            st.Page(
                "pages/size_and_sparsity.py",
                title="Size and sparsity",
                icon=":material/bubble_chart:",
            ),
        ],
        "Learn": [
            st.Page("pages/sparse_coding.py", title="Sparse coding", icon=":material/grid_view:"),
            st.Page("pages/manifold_lab.py", title="Manifold lab", icon=":material/all_inclusive:"),
            st.Page("pages/topology_lab.py", title="Topology lab", icon=":material/join_inner:"),
            st.Page(
                "pages/classifier_economy.py",
                title="Classifier economy",
                icon=":material/savings:",
            ),
        ],
        "Yours": [
            st.Page("pages/open_your_own.py", title="Open your own", icon=":material/upload:"),
            st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
        ],
    },
    expanded=True,
)
frame.come_back()
with st.sidebar:
    sidebar.show()
page.run()
frame.end()
