import { expect, test } from 'vitest';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { cutPower } from '../../survival/cut-power.mjs';
import { describeWith } from '../helpers/requirements.js';

/** In CI, whichever comes first; `npm run survive -- --cuts 100` takes longer. */
const CUTS = WHOLE_RANGE ? 10 : 6;
const SECONDS = 20;

const seed = Number(process.env['PROVISIONER_SURVIVE_SEED'] ?? Date.now() % 2 ** 31);

describeWith(['root', 'overlay', 'loop'], 'a machine that loses its power under processes of two owners', () => {
  test('comes up with everything that was reported, and every layer as it was made', { timeout: 240_000 }, async () => {
    const report = await cutPower({ cuts: CUTS, seconds: SECONDS, seed, unsafe: false });
    console.log(`seed ${seed}: ${report.cuts} cuts, ${report.operations} operations reported; ${report.summary}`);
    expect(report.problems).toEqual([]);
    expect(report.cuts).toBeGreaterThan(2);
  });

  test('comes up with every container that was mounted, when nothing else brought anything to the disk', {
    timeout: 240_000,
  }, async () => {
    const report = await cutPower({ cuts: WHOLE_RANGE ? 5 : 3, seconds: 10, seed, unsafe: false, mountsOnly: true });
    console.log(`seed ${seed}: ${report.cuts} cuts, ${report.operations} operations reported; ${report.summary}`);
    expect(report.problems).toEqual([]);
    expect(report.cuts).toBeGreaterThan(1);
  });

  test('has lost something that was reported when durability was off, which shows that these tests can fail', {
    timeout: 240_000,
  }, async () => {
    const report = await cutPower({ cuts: 100, seconds: 150, seed, unsafe: true });
    console.log(`seed ${seed}: ${report.cuts} cuts; ${report.problems[0]}`);
    expect(report.damaged).toBeGreaterThan(0);
  });
});
