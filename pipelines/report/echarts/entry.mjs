// The parts of Apache ECharts that the report draws with.
export { init } from "echarts/core";
import { use } from "echarts/core";
import { BarChart, SankeyChart, TreemapChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import { SVGRenderer } from "echarts/renderers";

use([BarChart, SankeyChart, TreemapChart, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent, SVGRenderer]);
