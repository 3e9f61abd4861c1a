"""Which network a checkpoint is, and how to build it.

identify.identify        names and shapes of tensors → Identification
build.build              tensors → Model, ready to run
constructors             the operator's own model code
mlp, cnn, vit, resnet    own architectures; registry has their names, torchvision's and timm's
recognise                every way in which tensors make a known network
signature                digests of names and shapes; make_signatures writes the shipped table
"""
