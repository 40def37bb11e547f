import { summary } from './rounds.mjs';

const cell = (text, width) => String(text).padStart(width);

/** Of rounds that followed each other, so that a machine that slows down does it to both; the middle half in brackets. */
function ratio(of, to) {
  const { median, low, high } = summary(of.perSecond.map((perSecond, round) => perSecond / to.perSecond[round]));
  return `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
}

/** The result for people: every figure of the service beside those of the floors in the same run. */
export function tableOf({ machine, rounds, loads, rssMb, delaysMs, connections, rows, dispatch, lives }, { speeds }) {
  const lines = [
    `${machine.cores} cores, ${machine.memoryGb} GB, Node ${machine.node}, shared by generator, service and PostgreSQL; medians of ${rounds} rounds`,
    '',
  ];
  if (speeds) {
    lines.push(
      '| Load | service/s (spread) | of the floor | floor/s (spread) | of the classic floor | classic/s (spread) | p50, p99 ms (floor) | CPU ms each (floor) |',
      '|---|---|---|---|---|---|---|---|',
      ...loads.map(rowOf),
      '',
      `RSS: ${Object.entries(rssMb)
        .map(([name, mb]) => `${name} ${mb.toFixed(0)} MB`)
        .join(', ')}`,
      `event loop delay of the service under load, p99: median ${summary(delaysMs).median.toFixed(1)} ms, worst ${Math.max(...delaysMs).toFixed(1)} ms`,
      `connections of the service: ${connections}`,
    );
  }
  if (dispatch) {
    lines.push(
      `dispatch, 300 ms latency: ${dispatch.perSecond.toFixed(0)}/s after its slow start, ${dispatch.wholePerSecond.toFixed(0)}/s with it, at most ${dispatch.mostInASecond} in a rolling second`,
      `asked → succeeded at 100/s: p50 ${lives.p50Ms.toFixed(0)} ms, p99 ${lives.p99Ms.toFixed(0)} ms; ${lives.cpuMs.toFixed(1)} ms of the service's processor time each; RSS ${lives.rssMb.toFixed(0)} MB, ${lives.connections} connections, event loop delay p99 ${lives.delayMs.toFixed(1)} ms`,
    );
  }
  lines.push(
    rows.differences.length === 0
      ? `rows: ${rows.compared} figures equal on all sides`
      : `rows differ:\n${rows.differences.join('\n')}`,
  );
  return lines.join('\n');
}

function rowOf({ title, results }) {
  const of = (name) => {
    const result = results[name];
    return {
      perSecond: result.perSecond,
      ...summary(result.perSecond),
      cpu: summary(result.cpuMs).median,
      p50: summary(result.p50).median,
      p99: summary(result.p99).median,
    };
  };
  const [service, floor, classic] = ['service', 'batched', 'classic'].map(of);
  const speed = ({ median, spread }) => `${cell(median.toFixed(0), 6)} (${cell((spread * 100).toFixed(0), 2)} %)`;
  return `| ${[
    title.padEnd(31),
    speed(service),
    ratio(service, floor),
    speed(floor),
    ratio(service, classic),
    speed(classic),
    `${service.p50.toFixed(1)}, ${service.p99.toFixed(1)} (${floor.p50.toFixed(1)}, ${floor.p99.toFixed(1)})`,
    `${service.cpu.toFixed(3)} (${floor.cpu.toFixed(3)})`,
  ].join(' | ')} |`;
}
