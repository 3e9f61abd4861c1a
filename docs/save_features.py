"""Write the penultimate features of any PyTorch network to a file that Featurescope opens.

Copy this file beside your own code:

    from save_features import save_features
    save_features(model, loader, "features.npz", class_names=dataset.classes)
"""

import numpy as np
import torch


@torch.no_grad()
def save_features(model, loader, path, class_names=None, classifier=None):
    """``loader`` yields (images, labels); ``classifier`` is the model's last nn.Linear layer."""
    if classifier is None:
        classifier = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
    features, labels = [], []
    hook = classifier.register_forward_pre_hook(
        lambda module, inputs: features.append(inputs[0].flatten(1).float().cpu().numpy())
    )
    training, device = model.training, classifier.weight.device
    model.eval()
    try:
        for images, batch_labels in loader:
            model(images.to(device))
            labels.append(np.asarray(batch_labels))
    finally:
        hook.remove()
        model.train(training)
    arrays = {"features": np.concatenate(features), "labels": np.concatenate(labels)}
    arrays["weight"] = classifier.weight.float().cpu().numpy()
    if classifier.bias is not None:
        arrays["bias"] = classifier.bias.float().cpu().numpy()
    if class_names is not None:
        arrays["class_names"] = np.array(class_names, dtype=str)
    np.savez_compressed(path, **arrays)
