import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildImage, buildLayer, writeOciLayout } from '../../native-free-tests/helpers/image-builder.js';
import { expectOk, type RunWithin, runWithin } from '../cli/run-within.js';
import { mountFileSystem, needsOf } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';
import { inUserNamespace, USER_NAMESPACES } from '../helpers/user-namespaces.js';

const asRoot = (root: string): RunWithin => runWithin([], root);
const asUser = (uid: number, root: string): RunWithin =>
  runWithin(['setpriv', '--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups'], root);
const inside = (map: string, root: string): RunWithin => runWithin(inUserNamespace(map), root);

/** A directory of that user's, and layouts of two images beside it. The second one is `other`. */
async function place(owner = 0) {
  const directory = temporaryDirectory();
  chmodSync(directory, 0o755);
  const root = join(directory, 'of-the-user', 'store');
  mkdirSync(join(directory, 'of-the-user'));
  execFileSync('chown', [`${owner}:${owner}`, join(directory, 'of-the-user')]);
  for (const name of ['app', 'other']) await layout(join(directory, name), name);
  return { root, app: `oci:${join(directory, 'app')}`, other: `oci:${join(directory, 'other')}` };
}

async function layout(directory: string, name: string): Promise<void> {
  const entries = [
    { path: 'of-1000', content: name, uid: 1000, gid: 1000, mode: 0o600 },
    { path: 'setuid-of-1000', content: 'x', uid: 1000, gid: 1000, mode: 0o6755 },
    { path: 'setuid-of-root', content: 'x', mode: 0o4755 },
    { path: 'null', type: 'character', major: 1, minor: 3 },
  ] as const;
  await writeOciLayout(directory, [{ image: buildImage([buildLayer(entries)]), refName: 'latest' }]);
}

/** Owner and mode, as the tests see them, who are root of the machine. */
function seen(...path: string[]): string {
  const { uid, gid, mode } = lstatSync(join(...path));
  return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
}

/** Nobody can go by the owners of this store, but everybody can look at it and take it apart. */
function expectRefused(run: RunWithin, { other }: { readonly other: string }): void {
  const hint = expect.stringMatching(/user namespace.*--root/);
  for (const [code, ...words] of [
    ['ERR_PERMISSION', 'provision', 'job', 'app'],
    ['ERR_BACKEND_UNUSABLE', 'provision', 'job', 'app', '--backend', 'copy'],
    ['ERR_BACKEND_UNUSABLE', 'provision', 'job', 'app', '--backend', 'bind'],
    ['ERR_PERMISSION', 'pull', other, '--name', 'other'],
    ['ERR_PERMISSION', 'check', '--full'],
  ] as const) {
    const { status, errors } = run(...words);
    const message = expect.stringMatching(/owners of files in the store with other ids/);
    expect({ words, status, errors }).toEqual({
      words,
      status: 1,
      errors: [expect.objectContaining({ code, hint, message })],
    });
  }
  expect(run('info').document.degraded).toEqual({ reason: expect.stringMatching(/other ids/), hint });
  expect(expectOk(run('images')).document).toHaveLength(1);
  expectOk(run('ps'));
}

describeWith(['root', 'user namespaces'], 'a store that was made in a user namespace of many ids', () => {
  test('keeps the owners of images there, as it does outside', async () => {
    const { root, app } = await place();
    const run = inside(USER_NAMESPACES.rootAndShifted, root);
    const { warnings } = expectOk(run('pull', app, '--name', 'app'));
    expect(warnings).toEqual([
      expect.objectContaining({ details: expect.objectContaining({ owners: 0, devices: 1, xattrs: 0 }) }),
    ]);
    const { rootfs } = expectOk(run('provision', 'job', 'app', '--backend', 'copy')).document;
    expect(seen(rootfs, 'of-1000')).toBe('100999:100999 600');
    expect(seen(rootfs, 'setuid-of-1000')).toBe('100999:100999 6755');
    expect(seen(rootfs, 'setuid-of-root')).toBe('0:0 4755');
    expect(expectOk(run('check', '--full')).document).toMatchObject({ findings: [], sound: true });
  });

  test('is not gone by outside, where its owners are others, but looked at and taken apart', async () => {
    const images = await place();
    const { root, app } = images;
    const run = inside(USER_NAMESPACES.rootAndShifted, root);
    expectOk(run('pull', app, '--name', 'app'));
    expectOk(run('provision', 'job-there', 'app', '--backend', 'copy'));
    expectRefused(asRoot(root), images);
    // And goes on being as good as it was where it was made.
    expectOk(run('pull', images.other, '--name', 'other'));
    expectOk(asRoot(root)('destroy', 'job-there'));
    expectOk(asRoot(root)('prune'));
    for (const directory of ['containers', 'staging', 'gc', 'layers'])
      expect(readdirSync(join(root, directory))).toEqual([]);
  });

  test('is refused outright to root where its user is another one', async () => {
    const { root, app } = await place(100000);
    expectOk(inside(USER_NAMESPACES.shifted, root)('pull', app, '--name', 'app'));
    expect(asRoot(root)('images')).toMatchObject({
      status: 1,
      errors: [{ code: 'ERR_PERMISSION', message: expect.stringMatching(/belongs to uid 100000/) }],
    });
  });

  test('is not gone by outside by its own user', async () => {
    const images = await place(1000);
    expectOk(inside(USER_NAMESPACES.rootless, images.root)('pull', images.app, '--name', 'app'));
    expectRefused(asUser(1000, images.root), images);
  });
});

describeWith([...needsOf('overlay'), 'user namespaces'], 'the store of root', () => {
  test('is not gone by in a user namespace with other ids, where its whiteouts could be seen', async () => {
    const images = await place();
    // Whiteouts are plain files there, and owners are kept.
    const root = join(mountFileSystem('overlay').path, 'store');
    expectOk(asRoot(root)('pull', images.app, '--name', 'app'));
    for (const map of [USER_NAMESPACES.rootAndShifted, USER_NAMESPACES.rootAlone]) {
      expectRefused(inside(map, root), images);
    }
    const { rootfs } = expectOk(asRoot(root)('provision', 'job', 'app')).document;
    expect(seen(rootfs, 'setuid-of-1000')).toBe('1000:1000 6755');
    expectOk(asRoot(root)('destroy', 'job'));
  });

  test('is refused outright in a user namespace in which root of the machine has no id', async () => {
    const { root, app } = await place();
    expectOk(asRoot(root)('pull', app, '--name', 'app'));
    expect(inside(USER_NAMESPACES.shifted, root)('images')).toMatchObject({
      status: 1,
      errors: [
        {
          code: 'ERR_PERMISSION',
          message: expect.stringMatching(/no id in this user namespace/),
          hint: expect.stringMatching(/outside of this user namespace/),
        },
      ],
    });
  });

  test('is not gone by after it was copied without its owners', async () => {
    const images = await place();
    expectOk(asRoot(images.root)('pull', images.app, '--name', 'app'));
    const copy = join(temporaryDirectory(), 'copy');
    cpSync(images.root, copy, { recursive: true, filter: (path) => !path.endsWith('/null') });
    expectRefused(asRoot(copy), images);
  });
});

describeWith(['root', 'user namespaces'], 'a store that was made in a user namespace of one id', () => {
  test('has what its root could have, without the rights of others, and is used outside as well', async () => {
    const { root, app, other } = await place();
    const run = inside(USER_NAMESPACES.rootAlone, root);
    const { warnings } = expectOk(run('pull', app, '--name', 'app'));
    expect(warnings).toEqual([
      expect.objectContaining({ details: expect.objectContaining({ owners: 2, devices: 1, xattrs: 0 }) }),
    ]);
    expectOk(asRoot(root)('pull', other, '--name', 'other'));
    for (const at of ['app', 'other']) {
      const { rootfs } = expectOk(asRoot(root)('provision', `job-${at}`, at, '--backend', 'copy')).document;
      const isKept = at === 'other';
      expect(seen(rootfs, 'of-1000')).toBe(isKept ? '1000:1000 600' : '0:0 600');
      expect(seen(rootfs, 'setuid-of-1000')).toBe(isKept ? '1000:1000 6755' : '0:0 755');
      expect(seen(rootfs, 'setuid-of-root')).toBe('0:0 4755');
    }
    expectOk(asRoot(root)('destroy', 'job-app', 'job-other'));
  });
});

describeWith(['root', 'overlay'], 'root without a capability', () => {
  const without = (capability: string, root: string): RunWithin =>
    runWithin(['setpriv', '--bounding-set', `-${capability}`, '--inh-caps', `-${capability}`], root);

  test('to change owners keeps the files, and no setuid bit of another owner, in layers and copies', async () => {
    const { root, app, other } = await place();
    const { warnings } = expectOk(without('chown', root)('pull', app, '--name', 'app'));
    expect(warnings).toEqual([
      expect.objectContaining({ details: expect.objectContaining({ owners: 2, devices: 0, xattrs: 0 }) }),
    ]);
    // A layer that has all, and only its copy has not.
    expectOk(asRoot(root)('pull', other, '--name', 'other'));
    for (const at of ['app', 'other']) {
      const { rootfs } = expectOk(without('chown', root)('provision', at, at, '--backend', 'copy')).document;
      expect(seen(rootfs, 'of-1000')).toBe('0:0 600');
      expect(seen(rootfs, 'setuid-of-1000')).toBe('0:0 755');
      expect(seen(rootfs, 'setuid-of-root')).toBe('0:0 4755');
    }
    const { rootfs } = expectOk(asRoot(root)('provision', 'whole', 'other', '--backend', 'overlay')).document;
    expect(seen(rootfs, 'setuid-of-1000')).toBe('1000:1000 6755');
    expectOk(asRoot(root)('destroy', 'app', 'other', 'whole'));
  });

  test('to make devices leaves these out, in layers and copies, and counts them', async () => {
    const { root, app, other } = await place();
    const { warnings } = expectOk(without('mknod', root)('pull', app, '--name', 'app'));
    expect(warnings).toEqual([
      expect.objectContaining({ details: expect.objectContaining({ owners: 0, devices: 1, xattrs: 0 }) }),
    ]);
    expectOk(asRoot(root)('pull', other, '--name', 'other'));
    for (const at of ['app', 'other']) {
      const { rootfs } = expectOk(without('mknod', root)('provision', at, at, '--backend', 'copy')).document;
      expect(readdirSync(rootfs).toSorted()).toEqual(['of-1000', 'setuid-of-1000', 'setuid-of-root']);
    }
    expectOk(asRoot(root)('destroy', 'app', 'other'));
  });
});
