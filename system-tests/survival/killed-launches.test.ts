import { expect, test } from 'vitest';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { killLaunches } from '../../survival/launches/kill-launches.mjs';
import { describeWith } from '../helpers/requirements.js';

/** A few seconds' worth on a machine that is ours alone; `npm run survive -- --launches 10000` takes longer. */
const LAUNCHES = WHOLE_RANGE ? 1000 : 60;
/** On a machine that has so much else to do that it takes longer, fewer are enough. */
const SECONDS = WHOLE_RANGE ? 600 : 200;

describeWith(['root', 'overlay', 'cgroups', 'crun', 'runc', 'busybox'], 'programs that three agents launch', () => {
  test('end as they are told to have ended, and leave nothing, whoever is killed meanwhile', {
    timeout: (SECONDS + 120) * 1000,
  }, async () => {
    const seed = Number(process.env['PROVISIONER_SURVIVE_SEED'] ?? Date.now() % 2 ** 31);
    const report = await killLaunches({ launches: LAUNCHES, seconds: SECONDS, seed });
    console.log(`seed ${seed}: ${report.launches} launches, ${report.looks} looks; ${report.summary}`);
    expect(report.problems).toEqual([]);
  });
});
