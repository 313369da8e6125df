import { expect, test } from 'vitest';
import { WHOLE_RANGE } from '../../native-free-tests/helpers/whole-range.js';
import { race } from '../../survival/race.mjs';
import { describeWith } from '../helpers/requirements.js';

/** In CI, whichever comes first; `npm run survive -- --seconds 3600` takes longer. */
const OPERATIONS = WHOLE_RANGE ? 10_000 : 5000;
const SECONDS = 60;

describeWith(['root', 'overlay'], 'four processes of two owners that do everything at random at the same time', () => {
  test('never lose a container, an excluded or a pinned image, and never leave anything', {
    timeout: 240_000,
  }, async () => {
    const seed = Number(process.env['PROVISIONER_SURVIVE_SEED'] ?? Date.now() % 2 ** 31);
    const report = await race({ operations: OPERATIONS, seconds: SECONDS, seed });
    console.log(
      `seed ${seed}: ${report.operations} operations, ${report.checkpoints} quiescent points; ${report.summary}`,
    );
    expect(report.problems).toEqual([]);
    expect(report.checkpoints).toBeGreaterThan(1);
  });
});
