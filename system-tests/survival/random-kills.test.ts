import { expect, test } from 'vitest';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { killAtRandom } from '../../survival/kills.mjs';
import { describeWith } from '../helpers/requirements.js';

/** In CI; `npm run survive -- --kills 500` takes longer. */
const KILLS = WHOLE_RANGE ? 30 : 14;
const SECONDS = 30;

describeWith(['root', 'overlay'], 'processes of two owners on one store', () => {
  test('may be killed at any instant, some or all of them, and after a recovery everything is as it was reported', {
    timeout: 240_000,
  }, async () => {
    const seed = Number(process.env['PROVISIONER_SURVIVE_SEED'] ?? Date.now() % 2 ** 31);
    const report = await killAtRandom({ kills: KILLS, seconds: SECONDS, seed });
    console.log(`seed ${seed}: killed ${report.processes} processes at ${report.kills} instants; ${report.summary}`);
    expect(report.problems).toEqual([]);
    expect(report.kills).toBeGreaterThan(5);
  });
});
