"""The sections of a report, in their order: the only list of them."""

from bench.report.section import Section
from bench.report.sections.attribution import Attribution
from bench.report.sections.caveats import Caveats
from bench.report.sections.cells import Cells
from bench.report.sections.comparison import Comparison
from bench.report.sections.machines import Machines
from bench.report.sections.metrics import Metrics
from bench.report.sections.phases import Phases
from bench.report.sections.provisioning import Provisioning
from bench.report.sections.runs import Runs
from bench.report.sections.same_work import SameWork
from bench.report.sections.scaling import Scaling
from bench.report.sections.unknown import Unknown
from bench.report.sections.utilization import Utilization

SECTIONS: tuple[Section, ...] = (
    SameWork(),
    Cells(),
    Provisioning(),
    Caveats(),
    Scaling(),
    Comparison(),
    Metrics(),
    Phases(),
    Attribution(),
    Utilization(),
    Machines(),
    Runs(),
    Unknown(),
)
