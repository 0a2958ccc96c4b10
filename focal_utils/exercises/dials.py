"""`dial`: sliders over a figure that is drawn anew as they move; on paper, and without widgets, a still of it."""

from focal_utils.errors import check_choice
from focal_utils.exercises.guessing import VIEW, shown, spoken
from focal_utils.figures import page_of


class Dial:
    """A figure with its controls. `values` has what they are set to; `set` moves them as a hand would."""

    def __init__(self, draw, controls):
        self.draw = draw
        self.kinds = controls
        self.values = {name: start_of(kind) for name, kind in controls.items()}
        self.page = None  # the widget that holds the figure, once there are widgets
        self.boxes = {}

    def set(self, **values):
        """Move controls to these values and draw anew.

        Raises:
            ValueError: no such control.
        """
        for name, value in values.items():
            check_choice("control", name, tuple(self.kinds))
            self.values[name] = value
        if self.page is not None:
            self.page.value = self.drawn()[1]

    def drawn(self):
        """The figure's caption and its HTML, as the controls stand."""
        figure, alt = self.draw(**self.values)
        return alt, page_of(figure, alt)

    def show(self):
        """Show controls and figure where there are widgets, the figure alone elsewhere."""
        alt, page = self.drawn()
        shown({"text/plain": alt, "text/html": page, **self._widget(page)})

    def _widget(self, page):
        try:
            import ipywidgets
        except ModuleNotFoundError:
            return {}
        self.page = ipywidgets.HTML(page)
        for name, kind in self.kinds.items():
            box = control(ipywidgets, name, kind, self.values[name])
            box.observe(lambda change, name=name: self.set(**{name: change["new"]}), names="value")
            self.boxes[name] = box
        whole = ipywidgets.VBox([*self.boxes.values(), self.page])
        return {VIEW: {"version_major": 2, "version_minor": 0, "model_id": whole.model_id}}


def dial(draw, **controls):
    """Show a figure under sliders, and draw it anew whenever one moves.

    Args:
        draw: a function that takes the controls' values by name and returns a matplotlib `Figure` and its caption.
        controls: for each, (low, high, step, start) for a slider of numbers; a list for one of choices, which starts at
            the first; True or False for a box to tick.

    Returns:
        The `Dial`.

    Raises:
        ValueError: no control.

    Example:
        >>> fu.dial(lambda light: (fu.figures.show_images([light * sign]), f"A sign at {light:.0%}."), light=[1, 0.1])
    """
    if not controls:
        raise ValueError("dial() has no control: name one and its values, light=(0, 1, 0.1, 1) for instance.")
    made = Dial(draw, controls)
    made.show()
    return made


def start_of(kind):
    if isinstance(kind, bool):
        return kind
    return kind[0] if isinstance(kind, list) else kind[3]


def control(ipywidgets, name, kind, value):
    """The widget of one control."""
    style = {"description_width": "initial"}
    if isinstance(kind, bool):
        return ipywidgets.Checkbox(value=value, description=spoken(name))
    if isinstance(kind, list):
        options = [(str(choice), choice) for choice in kind]
        return ipywidgets.SelectionSlider(options=options, value=value, description=spoken(name), style=style)
    low, high, step, _ = kind
    slider = ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider
    return slider(value=value, min=low, max=high, step=step, description=spoken(name), style=style)
