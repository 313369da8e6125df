import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, lchownSync, mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Containerizer } from '#src/containerizer/index.js';
import { secretsPlace } from '#src/containerizer/launches/secrets.js';
import { again, expectNothingLeft, IMAGE, keyOf, killMonitors, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const NOBODY = 65534;
const SECRET = 'correct horse battery staple';
const place = (root: string) => secretsPlace({ stateRoot: join('/run/provisioner', keyOf(root), 'crun') });

/** Whose place for secrets goes with the test. */
async function store() {
  const made = await storeWithBusybox();
  onTestFinished(() => rmSync(place(made.root), { recursive: true, force: true }));
  return made;
}

function secretFile(text = SECRET): string {
  const file = join(temporaryDirectory(), 'secret');
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

async function printed(containers: Containerizer): Promise<string> {
  let text = '';
  for await (const { bytes } of containers.logs('job')) text += bytes;
  return text;
}

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a secret', () => {
  it('is read by whoever runs in the container, cannot be written, and stands in nothing that is kept', async () => {
    const { containers, root } = await store();
    await containers.launch('job', IMAGE, {
      ...sh('cat /run/secrets/key | tr a-z A-Z; echo x > /run/secrets/key; ls /run/secrets; sleep 60'),
      user: 'alice',
      secrets: { key: secretFile(), 'other.key': secretFile('x') },
    });
    await expect.poll(() => printed(containers)).toContain('other.key');
    expect(await printed(containers)).toContain(SECRET.toUpperCase());
    expect(() => execFileSync('grep', ['-rFl', SECRET, root])).toThrow();
    await containers.stop('job', { grace: 0 });
    await expect.poll(() => readdirSync(place(root))).toEqual([]);
    await containers.destroy('job');
    await expectNothingLeft(root);
  });

  it('is there with a root filesystem that cannot be written, too', async () => {
    const { containers } = await store();
    const secrets = { key: secretFile() };
    await containers.launch('job', IMAGE, { ...sh('cat /run/secrets/key'), readOnly: true, secrets });
    expect(await containers.wait('job')).toMatchObject({ code: 0 });
    expect(await printed(containers)).toBe(SECRET);
  });

  it('is taken away by a recovery when whoever should have is dead', async () => {
    const { containers, root } = await store();
    await containers.launch('job', IMAGE, { ...sh('sleep 60'), secrets: { key: secretFile() } });
    await killMonitors(root);
    mkdirSync(join(place(root), '0'.repeat(32)));
    const { containers: later } = await again(root);
    await expect.poll(() => later.recover().then(() => readdirSync(place(root)))).toEqual([]);
    expect(await later.wait('job')).toMatchObject({ reason: 'monitor-lost' });
  });

  it.each<[string, (directory: string, treasure: string) => string]>([
    [
      'a symlink of his to a directory of root',
      (directory, treasure) => {
        symlinkSync(treasure, directory);
        lchownSync(directory, NOBODY, NOBODY);
        return treasure;
      },
    ],
    [
      'a directory of his, whose entries he may exchange for symlinks',
      (directory) => {
        mkdirSync(directory, { mode: 0o700 });
        chownSync(directory, NOBODY, NOBODY);
        return directory;
      },
    ],
  ])(
    'is not put into what another user has made in its place, such as %s, nor is anything removed there',
    async (_, arrange) => {
      const { containers, root } = await store();
      mkdirSync(dirname(place(root)), { recursive: true, mode: 0o700 });
      const treasure = arrange(place(root), temporaryDirectory());
      onTestFinished(() => rmSync(treasure, { recursive: true, force: true }));
      const kept = join(treasure, '0'.repeat(32), 'kept');
      mkdirSync(kept, { recursive: true });
      const secrets = { key: secretFile() };
      const refused = containers.launch('other', IMAGE, { ...sh('true'), secrets });
      await expect(refused).rejects.toMatchObject({ code: 'ERR_PERMISSION', details: { path: place(root) } });
      await containers.launch('job', IMAGE, sh('sleep 60'));
      const likeItsOwn = readdirSync(join(root, 'launches')).map((id) => join(treasure, id, 'kept'));
      for (const path of likeItsOwn) mkdirSync(path, { recursive: true });
      await containers.stop('job', { grace: 0 });
      await containers.destroy('job');
      expect((await containers.recover()).swept).toEqual([]);
      expect([kept, ...likeItsOwn].map((path) => existsSync(path))).toEqual([true, true]);
    },
  );

  it.each([
    ['a missing file', { key: '/nowhere/at/all' }, 'ERR_MOUNT_SOURCE'],
    ['a directory', { key: '/etc' }, 'ERR_BAD_OPTION'],
    ['a device', { key: '/dev/zero' }, 'ERR_BAD_OPTION'],
    ['a relative path', { key: 'etc/passwd' }, 'ERR_BAD_OPTION'],
    ['a name that leads elsewhere', { '../key': '/etc/hostname' }, 'ERR_BAD_OPTION'],
  ])('of %s is refused, and leaves nothing', async (_, secrets, code) => {
    const { containers, root } = await store();
    await expect(containers.launch('job', IMAGE, { ...sh('true'), secrets })).rejects.toMatchObject({ code });
    expect(existsSync(place(root)) ? readdirSync(place(root)) : []).toEqual([]);
    await expectNothingLeft(root);
  });
});
