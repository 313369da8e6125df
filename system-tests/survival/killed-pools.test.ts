import { expect, test } from 'vitest';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { killPools } from '../../survival/pools/kill-pools.mjs';
import { describeWith } from '../helpers/requirements.js';

/** A few seconds' worth on a machine that is ours alone; `npm run survive -- --pools 1000` takes longer. */
const KILLS = WHOLE_RANGE ? 200 : 12;
/** On a machine that has so much else to do that it takes longer, fewer are enough. */
const SECONDS = WHOLE_RANGE ? 600 : 60;

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox', 'catatonit'], 'an agent that keeps warm pools', () => {
  test('hands no container out twice, none that is dead, and leaves nothing, however often it is killed', {
    timeout: (SECONDS + 120) * 1000,
  }, async () => {
    const seed = Number(process.env['PROVISIONER_SURVIVE_SEED'] ?? Date.now() % 2 ** 31);
    const report = await killPools({ kills: KILLS, seconds: SECONDS, seed });
    console.log(`seed ${seed}: ${report.kills} kills, ${report.claimed} containers handed out`);
    expect(report.claimed).toBeGreaterThan(0);
    expect(report.problems).toEqual([]);
  });
});
