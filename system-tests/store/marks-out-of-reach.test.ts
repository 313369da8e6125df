import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { APP_V1, APP_V2, newStore, pulledStore } from '../cli/run-cli.js';
import { runWithin } from '../cli/run-within.js';
import { otherProcess } from '../helpers/other-process.js';
import { describeWith } from '../helpers/requirements.js';
import { Driver } from '../metadata/sqlite-files.js';

/** Those for whom there are no `trusted.*` attributes, though they are root. */
const PLACES: readonly (readonly [string, readonly string[]])[] = [
  ['root without CAP_SYS_ADMIN', ['setpriv', '--bounding-set', '-sys_admin', '--inh-caps', '-sys_admin']],
  ['root of a user namespace', ['unshare', '--user', '--map-root-user', '--mount', '--propagation', 'private']],
];

/** As root has it, with an image whose `opt/data` replaces that of a layer below. */
async function rootsStore() {
  const store = await pulledStore(APP_V1, '--name', 'app:v1');
  expect(JSON.parse(readFileSync(join(store.root, 'format'), 'utf8'))).toMatchObject({ whiteouts: 'trusted' });
  return store;
}

describeWith(['root', 'overlay', 'user namespaces'], 'a store whose marks its user cannot see', () => {
  test.each(PLACES)('gives %s no container and takes no layer, and tells what to do', async (_, wrapper) => {
    const { root } = await rootsStore();
    const run = runWithin(wrapper, root);
    const hint = expect.stringMatching(/CAP_SYS_ADMIN.*user namespaces.*--root/);
    const refused = (code: string) => [{ code, hint, message: expect.stringMatching(/trusted\.overlay\.opaque/) }];
    for (const [code, ...words] of [
      ['ERR_PERMISSION', 'provision', 'job', 'app:v1'],
      ['ERR_BACKEND_UNUSABLE', 'provision', 'job', 'app:v1', '--backend', 'copy'],
      ['ERR_BACKEND_UNUSABLE', 'provision', 'job', 'app:v1', '--backend', 'overlay'],
      ['ERR_PERMISSION', 'pull', APP_V2],
      ['ERR_PERMISSION', 'check', '--full'],
      ['ERR_PERMISSION', 'check', '--repair'],
    ] as const) {
      const { status, errors } = run(...words);
      expect({ words, status, errors }).toMatchObject({ words, status: 1, errors: refused(code) });
    }
    for (const directory of ['containers', 'staging']) expect(readdirSync(join(root, directory))).toEqual([]);
    const { backends, degraded } = run('info').document;
    expect(degraded).toEqual({ reason: expect.stringMatching(/removed files would show/), hint });
    for (const name of ['overlay', 'copy']) {
      const reason = expect.stringMatching(/mark/);
      expect(backends).toContainEqual(expect.objectContaining({ name, usable: false, chosen: false, reason }));
    }
  });

  test.each(PLACES)(
    'is listed by %s, pulled from as far as it has all, and its copies are destroyed',
    async (_, wrapper) => {
      const { root, lines } = await rootsStore();
      await lines('provision', 'job', 'app:v1', '--backend', 'copy');
      const run = runWithin(wrapper, root);
      expect(run('images').document).toHaveLength(1);
      expect(run('ps').document).toHaveLength(1);
      expect(run('pull', APP_V1)).toMatchObject({ status: 0, errors: [] });
      expect(run('destroy', 'job')).toMatchObject({ status: 0, errors: [] });
    },
  );

  test.each(PLACES)('is for %s another one that is made there, which root uses as well', async (_, wrapper) => {
    const { root, lines } = newStore();
    const run = runWithin(wrapper, root);
    expect(run('pull', APP_V1, '--name', 'app:v1').status).toBe(0);
    expect(run('info').document).toMatchObject({ format: { whiteouts: 'user' }, degraded: null });
    const data = (rootfs: string) => readdirSync(join(rootfs, 'opt/data'));
    const made = run('provision', 'there', 'app:v1', '--backend', 'copy').document;
    expect(data(made.rootfs)).toEqual(['new.txt']);
    expect(run('check', '--full').document).toMatchObject({ findings: [], sound: true });
    const [rootfs = ''] = await lines('provision', 'here', 'app:v1');
    expect(data(rootfs)).toEqual(['new.txt']);
    expect(await lines('destroy', 'here', 'there')).toEqual(['here', 'there']);
  });
});

describeWith(['root', 'overlay', 'user namespaces'], 'the recovery of a mount', () => {
  test('does not mount where the marks cannot be seen, and says so', async () => {
    const { root, lines } = await rootsStore();
    const [rootfs = ''] = await lines('provision', 'job', 'app:v1', '--backend', 'overlay');
    expect(spawnSync('umount', [rootfs]).status).toBe(0);
    // As after a reboot, when nobody can have it mounted.
    const database = new Driver(join(root, 'metadata.sqlite'));
    database.exec("UPDATE rootfs SET mount_boot = 'of before the last reboot'");
    database.close();
    const { done } = otherProcess(
      root,
      `const { remounted, failed } = await p.recover();
       say(JSON.stringify([remounted, failed.map(({ path }) => path)]));
       say(failed[0]?.message ?? ''); await p.close();`,
      { within: PLACES[1]?.[1] ?? [] },
    );
    const [outcome, reason] = await done;
    expect(outcome).toBe(JSON.stringify([[], [rootfs]]));
    expect(reason).toMatch(/trusted\.overlay\.opaque/);
    expect(await lines('recover')).not.toEqual([]);
    expect(readdirSync(join(rootfs, 'opt/data'))).toEqual(['new.txt']);
    expect(await lines('destroy', 'job')).toEqual(['job']);
  });
});
