import { appendFileSync, chmodSync, chownSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { describeWith } from '../helpers/requirements.js';
import { APP_V1, newStore, pulledStore } from './run-cli.js';

const USER = 1000;

describeWith(['root', 'overlay'], 'provisioner check and df', () => {
  test('the exit status is 1 while damage is left, and 0 when it has been healed', async () => {
    const { root, run, lines, json } = await pulledStore(APP_V1, '--name', 'app');
    expect(await lines('check', '--full')).toEqual([
      expect.stringMatching(/^full check of \d+ layers, 1 image, .*: no damage$/),
    ]);
    const [layer = ''] = readdirSync(join(root, 'layers'));
    appendFileSync(join(root, 'layers', layer, 'contents'), 'x');
    const damaged = await run(['check']);
    expect(damaged).toMatchObject({ status: 1, stdout: expect.stringContaining(`damage: layer sha256:${layer}`) });
    const healed = (await json('check', '--repair')) as { sound: boolean; findings: { outcome: { state: string } }[] };
    expect(healed.sound).toBe(true);
    expect(healed.findings[0]?.outcome.state).toBe('healed');
    expect((await run(['check', '--full'])).status).toBe(0);
  });

  test('an ordinary user checks and heals layers with files and directories that are closed to him', async () => {
    const { root, run } = newStore();
    const home = dirname(root);
    const entries = [
      { path: './', mode: 0o500 },
      { path: 'closed', content: 'one', mode: 0 },
      { path: 'locked/', mode: 0 },
      { path: 'locked/in/', mode: 0o100 },
      { path: 'locked/in/file', content: 'two', mode: 0o200, uid: 5 },
    ];
    const layout = join(home, 'layout');
    await writeOciLayout(layout, [{ image: buildImage([buildLayer(entries)]), refName: 'it' }]);
    chmodSync(home, 0o755);
    mkdirSync(root);
    chownSync(root, USER, USER);
    const asUser = (...args: string[]) => run(args, { uid: USER });
    expect(await asUser('pull', `oci:${layout}`, '--name', 'it')).toMatchObject({ status: 0 });
    for (const args of [['check'], ['check', '--full'], ['check', '--full']]) {
      expect(await asUser(...args)).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/^[^\n]*: no damage\n$/),
      });
    }
    const [layer = ''] = readdirSync(join(root, 'layers'));
    chmodSync(join(root, 'layers', layer, 'rootfs', 'closed'), 0o600);
    expect(await asUser('check', '--full')).toMatchObject({ status: 1 });
    expect(await asUser('check', '--full', '--repair')).toMatchObject({ status: 0 });
    expect(await asUser('check', '--full')).toMatchObject({ status: 0 });
    expect(statSync(join(root, 'layers', layer, 'rootfs', 'locked', 'in', 'file')).mode & 0o7777).toBe(0o200);
    expect(await asUser('df')).toMatchObject({ status: 0 });
  });

  test('the total is the sum of its parts', async () => {
    const { json, lines } = await pulledStore(APP_V1, '--name', 'app');
    const { total, records, ...parts } = (await json('df')) as Record<string, number> &
      Record<string, { bytes: number }>;
    const shares = ['layers', 'containers', 'staging', 'gc', 'parked', 'launches', 'reserve', 'unaccounted'].map(
      (name) => parts[name]?.bytes ?? 0,
    );
    expect(total).toBe((records as number) + shares.reduce((sum, bytes) => sum + bytes, 0));
    expect((await lines('df')).at(-1)).toMatch(/^total/);
  });
});
