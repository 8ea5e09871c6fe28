"""What a pump engineer would say about a window. Each rule is weak; the label model weighs them against each other.

Rules speak of a pump against its own first eight hours (``z_...``, ``w.against_calibration``), because every pump has
its own size and every sensor its own offset. Load comes and goes with demand, so most rules look at two quantities
that load moves together and a fault moves apart.
"""

from components.labeling import WindowView, labeling_function

RUNNING = 0.5  # share of its usual flow below which a pump counts as stopped


def resistance(w: WindowView):
    """Pressure rise over flow squared: what pipe and valve oppose to the flow, whatever the speed."""
    rise = w.mean("discharge_pressure") - w.mean("inlet_pressure")
    return w.against_calibration(rise / w.mean("flow") ** 2)


def work(w: WindowView):
    """Current for each unit of hydraulic power; the larger, the more is lost in the pump."""
    rise = w.mean("discharge_pressure") - w.mean("inlet_pressure")
    return w.against_calibration(w.mean("motor_current") / (rise * w.mean("flow")))


def roughness(w: WindowView):
    """Vibration over pressure rise: both grow with the square of speed, so their ratio does not."""
    rise = w.mean("discharge_pressure") - w.mean("inlet_pressure")
    return w.against_calibration(w.mean("vibration") / rise)


def running(w: WindowView):
    return (w.against_calibration(w.mean("flow")) > RUNNING) & (w.against_calibration(w.min("flow")) > RUNNING)


@labeling_function(task="fault", votes="normal", channels=("discharge_pressure", "flow", "motor_current"))
def hydraulics_as_usual(w: WindowView):
    return running(w) & (abs(resistance(w) - 1) < 0.12) & (abs(work(w) - 1) < 0.06)


@labeling_function(task="fault", votes="normal", channels=("vibration",))
def runs_as_smooth_as_ever(w: WindowView):
    return running(w) & (roughness(w) < 1.12) & (w.z_std("inlet_pressure") < 1.0)


@labeling_function(task="fault", votes="normal", channels=("flow",))
def stands_still(w: WindowView):
    return w.against_calibration(w.max("flow")) < RUNNING


@labeling_function(task="fault", votes="blockage", channels=("discharge_pressure", "flow"))
def pipe_resists_more(w: WindowView):
    return running(w) & (resistance(w) > 1.25)


@labeling_function(task="fault", votes="blockage", channels=("flow", "motor_current", "vibration"))
def little_flow_little_current(w: WindowView):
    return running(w) & (w.z_mean("flow") < -1.5) & (w.z_mean("discharge_pressure") > 0)


@labeling_function(task="fault", votes="leak", channels=("discharge_pressure", "flow"))
def pipe_resists_less(w: WindowView):
    return running(w) & (resistance(w) < 0.85)


@labeling_function(task="fault", votes="leak", channels=("flow", "discharge_pressure"))
def much_flow_little_pressure(w: WindowView):
    return running(w) & (w.z_mean("flow") > 0.5) & (w.z_mean("discharge_pressure") < -0.3)


@labeling_function(task="fault", votes="cavitation", channels=("inlet_pressure",))
def suction_starves(w: WindowView):
    return running(w) & (w.z_mean("inlet_pressure") < -2.0)


@labeling_function(task="fault", votes="cavitation", channels=("flow", "discharge_pressure"))
def flow_flutters(w: WindowView):
    return running(w) & (w.against_calibration(w.column("discharge_pressure_diff_std")) > 1.5)


@labeling_function(task="fault", votes="bearing_wear", channels=("vibration",))
def shakes_at_usual_suction(w: WindowView):
    return running(w) & (roughness(w) > 1.3) & (w.z_mean("inlet_pressure") > -1.5)


@labeling_function(task="fault", votes="bearing_wear", channels=("vibration", "motor_current"))
def shakes_and_drags(w: WindowView):
    return running(w) & (roughness(w) > 1.2) & (work(w) > 1.02) & (abs(resistance(w) - 1) < 0.15)
