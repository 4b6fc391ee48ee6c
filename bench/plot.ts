import type { Runner } from './runners.js';
import type { Result } from './wholeRuns.js';

/** Results as a picture: for every case a bar a runner, as long as it is faster than the first qemu-riscv64; logarithmic. */

const WIDTH = 960;
const LEFT = 210;
const RIGHT = 70;
const BAR = 11;
const GAP = 10;
const TOP = 64;
const COLOURS = ['#2f6fb2', '#d9822b', '#3f9b6c', '#8c8c8c', '#9a5fb5', '#b24c4c'];
const TICKS = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50];

const escapeXml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

interface Text {
  readonly x: number;
  readonly y: number;
  readonly text: string;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly size?: number;
}
const textElement = ({ x, y, text, anchor = 'start', size = 12 }: Text): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" font-size="${size}">${escapeXml(text)}</text>`;

/** An SVG document of the results; undefined when there is nothing to compare. */
export function plot(
  results: readonly Result[],
  runners: readonly Runner[],
  subtitle: string,
): string | undefined {
  const base = runners.find(({ kind }) => kind === 'qemu')?.id;
  if (base === undefined) return undefined;
  const others = runners.filter(({ id }) => id !== base);
  const rows = results
    .filter(({ seconds }) => seconds[base] !== undefined)
    .map(({ case: { name }, seconds }) => ({
      name,
      bars: others.flatMap(({ id }, i) =>
        seconds[id] === undefined
          ? []
          : [{ speed: seconds[base] / seconds[id], colour: COLOURS[i % COLOURS.length] }],
      ),
    }))
    .filter(({ bars }) => bars.length > 0);
  if (rows.length === 0) return undefined;
  const speeds = rows.flatMap(({ bars }) => bars.map(({ speed }) => speed));
  const low = Math.log(Math.min(0.5, ...speeds) * 0.9);
  const high = Math.log(Math.max(2, ...speeds) * 1.1);
  const place = (speed: number): number =>
    LEFT + ((Math.log(speed) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);

  const elements: string[] = [];
  let y = TOP;
  for (const { name, bars } of rows) {
    const middle = y + (bars.length * BAR) / 2;
    elements.push(textElement({ x: LEFT - 8, y: middle + 4, text: name, anchor: 'end' }));
    for (const { speed, colour } of bars) {
      const [from, to] = [place(1), place(speed)].sort((a, b) => a - b);
      const width = Math.max(1, to - from);
      elements.push(
        `<rect x="${from.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 2}" fill="${colour}"/>`,
        textElement({
          x: speed >= 1 ? to + 3 : from - 3,
          y: y + BAR - 2.5,
          text: speed.toFixed(2),
          anchor: speed >= 1 ? 'start' : 'end',
          size: 9,
        }),
      );
      y += BAR;
    }
    y += GAP;
  }
  const grid = TICKS.filter((tick) => Math.log(tick) > low && Math.log(tick) < high).flatMap((tick) => {
    const x = place(tick).toFixed(1);
    const stroke = tick === 1 ? '#555' : '#ddd';
    return [
      `<line x1="${x}" y1="${TOP - 6}" x2="${x}" y2="${y}" stroke="${stroke}"/>`,
      textElement({ x: place(tick), y: y + 14, text: `${tick}`, anchor: 'middle', size: 10 }),
    ];
  });
  let keyAt = LEFT;
  const key = others.flatMap(({ id }, i) => {
    const at = keyAt;
    keyAt += 26 + id.length * 7;
    return [
      `<rect x="${at}" y="38" width="12" height="10" fill="${COLOURS[i % COLOURS.length]}"/>`,
      textElement({ x: at + 16, y: 47, text: id }),
    ];
  });
  const height = y + 24;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    textElement({ x: 12, y: 20, text: `Speed against ${base} (1 = as fast; logarithmic)`, size: 14 }),
    textElement({ x: WIDTH - 12, y: 20, text: subtitle, anchor: 'end', size: 10 }),
    ...key,
    ...grid,
    ...elements,
    '</svg>',
    '',
  ].join('\n');
}
