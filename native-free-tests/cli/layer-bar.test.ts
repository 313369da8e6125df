import { describe, expect, it } from 'vitest';
import { ProvisionerError } from '#src/base/errors.js';
import { formatLayerBar } from '#src/cli/output/layer-bar.js';
import { PullNdjson } from '#src/cli/output/pull-ndjson.js';
import type { LayerProgress } from '#src/events.js';

const progress: LayerProgress = {
  pullId: 'p',
  layer: `sha256:${'ab'.repeat(32)}`,
  phase: 'unpacking',
  bytes: 50_000_000,
  total: 100_000_000,
  bytesPerSecond: 3_200_000,
};

describe('the bar of a layer', () => {
  it('shows which layer, how much of it, how fast, and what happens', () => {
    expect(formatLayerBar(progress, 100)).toBe(
      'abababababab [====================>                   ]    50.0MB/100.0MB    3.2MB/s unpacking',
    );
  });

  it.each([
    [{ bytes: 0 }, '[>  '],
    [{ bytes: 100_000_000 }, '====] '],
    [{ bytes: 100_000_000 }, ' unpacked'],
    [{ phase: 'waiting', bytes: 0, bytesPerSecond: 0 }, '0B/s waiting'],
    [{ phase: 'shared' }, ' shared'],
    [{ total: -1 }, '  50.0MB '],
  ] as const)('with %o shows %s', (changes, part) => {
    expect(formatLayerBar({ ...progress, ...changes }, 100)).toContain(part);
  });

  it.each([10, 40, 60, 80, 200])('never fills a line of %d columns', (columns) => {
    expect(formatLayerBar(progress, columns).length).toBeLessThan(columns);
  });

  it('gives its bar up in a narrow terminal, and keeps the figures', () => {
    expect(formatLayerBar(progress, 60)).toBe('abababababab     50.0MB/100.0MB    3.2MB/s unpacking');
  });
});

describe('progress as NDJSON', () => {
  it('is one document per line, a failure with its code', () => {
    const lines: string[] = [];
    const display = new PullNdjson((line) => lines.push(line));
    display.show({ type: 'layerProgress', ...progress });
    const error = new ProvisionerError('ERR_NO_SPACE', 'full', { hint: 'free some' });
    display.show({ type: 'pullFailed', pullId: 'p', source: 'docker://app', error });
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { progress: { type: 'layerProgress', ...progress } },
      {
        progress: {
          type: 'pullFailed',
          pullId: 'p',
          source: 'docker://app',
          error: { code: 'ERR_NO_SPACE', message: 'full', hint: 'free some', details: {} },
        },
      },
    ]);
  });
});
