import { describe, expect, it } from 'vitest';
import { PullProgress } from '#src/cli/output/pull-progress.js';
import type { LayerProgress } from '#src/events.js';

const layer = `sha256:${'ab'.repeat(32)}`;
const image = `sha256:${'cd'.repeat(32)}`;

function record() {
  const lines: string[] = [];
  let time = 0;
  const progress = new PullProgress(
    (line) => lines.push(line),
    () => time,
  );
  const report = (phase: LayerProgress['phase'], fields: Partial<LayerProgress> = {}) =>
    progress.layer({ pullId: 'p', layer, phase, bytes: 0, total: 1_500_000, bytesPerSecond: 0, ...fields });
  return { lines, progress, report, after: (milliseconds: number) => (time += milliseconds) };
}

describe('the progress of a pull', () => {
  it('is one line when a layer starts and one when it is done, however often it is reported between', () => {
    const { lines, report, after } = record();
    report('waiting');
    report('unpacking');
    for (let bytes = 0; bytes < 1_500_000; bytes += 1000) report('unpacking', { bytes });
    after(2340);
    report('done');
    expect(lines).toEqual(['layer abababababab: unpacking 1.5MB', 'layer abababababab: done in 2.3s']);
  });

  it('says once that another pull is at a layer, however long that takes', () => {
    const { lines, report } = record();
    for (let poll = 0; poll < 50; poll += 1) report('shared');
    report('stored');
    expect(lines).toEqual([
      'layer abababababab: another pull unpacks it, waiting for that',
      'layer abababababab: already stored',
    ]);
  });

  it('leaves a size out that the source does not say', () => {
    const { lines, progress, report } = record();
    progress.started({ pullId: 'p', source: 'archive:-', image, layers: 1, bytes: 0 });
    report('unpacking', { total: -1 });
    expect(lines).toEqual(['image cdcdcdcdcdcd from archive:-: 1 layer', 'layer abababababab: unpacking']);
  });

  it('tells the same layer again for the next image', () => {
    const { lines, report } = record();
    report('stored');
    report('stored', { pullId: 'q' });
    expect(lines).toHaveLength(2);
  });

  it('says how large an image is and how long it took', () => {
    const { lines, progress } = record();
    progress.started({ pullId: 'p', source: 'oci:/images/app', image, layers: 4, bytes: 627_100_000 });
    progress.finished({ pullId: 'p', source: 'oci:/images/app', image, milliseconds: 6100 });
    expect(lines).toEqual([
      'image cdcdcdcdcdcd from oci:/images/app: 4 layers, 627.1MB',
      'image cdcdcdcdcdcd: done in 6.1s',
    ]);
  });
});
