"""What a pump engineer would say about a window. Each rule is weak; the label model weighs them against each other.

Two more stand in rules.yaml. Rules speak of a pump against its own first eight hours (``z_...``,
``w.against_calibration``), because every pump has its own size and every sensor its own offset. Load comes and goes
with demand, so most rules look at two quantities that load moves together and a fault moves apart.

The thresholds were set with the simulator's truth in view, as an expert sets them with experience of the machines: how
well these rules do says nothing about rules for machines that nobody knows yet.
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


def suction(w: WindowView):
    """Inlet pressure as a share of the usual, less what all pumps of the site see: they draw from one tank."""
    return w.against_site(w.against_calibration(w.mean("inlet_pressure")))


def flutter(w: WindowView, channel: str):
    return w.against_calibration(w.column(f"{channel}_diff_std"))


def running(w: WindowView):
    return (w.against_calibration(w.mean("flow")) > RUNNING) & (w.against_calibration(w.min("flow")) > RUNNING)


@labeling_function(task="fault", votes="normal", channels=("discharge_pressure", "flow", "motor_current"), sees="device")
def hydraulics_as_usual(w: WindowView):
    return running(w) & (abs(resistance(w) - 1) < 0.12) & (abs(work(w) - 1) < 0.05)


@labeling_function(task="fault", votes="normal", channels=("vibration", "inlet_pressure"))
def smooth_and_well_fed(w: WindowView):
    return running(w) & (abs(roughness(w) - 1) < 0.06) & (abs(suction(w)) < 0.05)


@labeling_function(task="fault", votes="normal", channels=("flow",), sees="device")
def stands_still(w: WindowView):
    return w.against_calibration(w.mean("flow")) < RUNNING


@labeling_function(task="fault", votes="blockage", channels=("discharge_pressure", "flow"), sees="device")
def pipe_resists_more(w: WindowView):
    return running(w) & (resistance(w) > 1.3)


@labeling_function(task="fault", votes="leak", channels=("discharge_pressure", "flow"), sees="device")
def pipe_resists_less(w: WindowView):
    return running(w) & (resistance(w) < 0.8)


@labeling_function(task="fault", votes="cavitation", channels=("inlet_pressure",))
def suction_starves(w: WindowView):
    return running(w) & (suction(w) < -0.08)


@labeling_function(task="fault", votes="cavitation", channels=("flow", "discharge_pressure"), sees="device")
def flow_and_pressure_flutter(w: WindowView):
    return running(w) & (flutter(w, "flow") > 1.5) & (flutter(w, "discharge_pressure") > 1.5) & (roughness(w) > 1.1)


@labeling_function(task="fault", votes="bearing_wear", channels=("vibration", "inlet_pressure"))
def shakes_though_well_fed(w: WindowView):
    return running(w) & (roughness(w) > 1.25) & (suction(w) > -0.06)


@labeling_function(
    task="fault", votes="bearing_wear", channels=("vibration", "motor_current", "discharge_pressure"), sees="device"
)
def shakes_and_drags(w: WindowView):
    return running(w) & (roughness(w) > 1.15) & (work(w) > 1.0) & (flutter(w, "discharge_pressure") < 1.5)
