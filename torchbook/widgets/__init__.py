"""Figures that move, in the browser alone: the same file in the book, in JupyterLab and in Colab."""

import importlib

_HOMES = {
    "Activations": "activations",
    "ArchitectureBuilder": "architecture_builder",
    "Attack": "attack",
    "Attention": "attention",
    "Backprop": "backprop",
    "Bandit": "bandit",
    "BeamSearch": "beam_search",
    "BiasVariance": "bias_variance",
    "ConvStepper": "conv_stepper",
    "Corruptions": "corruptions",
    "DecisionBoundary": "decision_boundary",
    "Frames": "frames",
    "Gates": "gates",
    "Gan1D": "gan_1d",
    "GradientFlow": "gradient_flow",
    "GridWorld": "grid_world",
    "LatentWalk": "latent_walk",
    "LossSurface": "loss_surface",
    "LowRank": "low_rank",
    "Noise": "noise",
    "NormAxes": "norm_axes",
    "OptimizerRace": "optimizer_race",
    "Positions": "positions",
    "Question": "quiz",
    "Quiz": "quiz",
    "ReceptiveField": "receptive_field",
    "Reliability": "reliability",
    "ReluNet": "relu_net",
    "ScheduleDesigner": "schedule_designer",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    """Import a widget when it is first asked for: a chapter pays for its own alone."""
    if name not in _HOMES:
        raise AttributeError(f"no widget named {name!r}: there are {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
