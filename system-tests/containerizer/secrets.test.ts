import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { Containerizer } from '#src/containerizer/index.js';
import { secretsPlace } from '#src/containerizer/launches/secrets.js';
import { again, expectNothingLeft, IMAGE, keyOf, processesOf, sh, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

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
    for (const pid of processesOf(root).monitors) process.kill(pid, 'SIGKILL');
    mkdirSync(join(place(root), '0'.repeat(32)));
    const { containers: later } = await again(root);
    await expect.poll(() => later.recover().then(() => readdirSync(place(root)))).toEqual([]);
    expect(await later.wait('job')).toMatchObject({ reason: 'monitor-lost' });
  });

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
