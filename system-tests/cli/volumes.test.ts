import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { IMAGE, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { newStore } from './run-cli.js';

/** The command line beside a process that has the same store open. */
async function commandLine() {
  const { root, containers } = await storeWithBusybox();
  const { start } = newStore();
  const run = (...args: string[]) => start(['--root', root, ...args]).done;
  const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout);
  return { root, containers, run, json };
}

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'provisioner volume', () => {
  it('makes, lists, shows and removes volumes, for people and for programs', async () => {
    const { root, run, json } = await commandLine();
    expect(await run('volume', 'create', 'data', '--label', 'team=blue', '-l', 'empty', '--owner', 'me')).toEqual({
      ...{ status: 0, stdout: 'data\n', stderr: '' },
    });
    const mountpoint = join(root, 'volumes/data');
    const volume = {
      ...{ name: 'data', owner: 'me', mountpoint, labels: { team: 'blue', empty: '' }, containers: [], state: 'new' },
      createdAt: expect.stringMatching(/^20.*Z$/),
    };
    expect(await json('volume', 'create', 'data', '--owner', 'me')).toEqual(volume);
    expect(await json('volume', 'create', 'other')).toMatchObject({ name: 'other', owner: 'default', labels: {} });
    expect(await json('volume', 'ls')).toMatchObject([volume, { name: 'other' }]);
    expect((await run('volume', 'ls', '-q', '-f', 'label=team')).stdout).toBe('data\n');
    const { stdout: table } = await run('volume', 'list');
    expect(table.split('\n').map((line) => line.split(/ {3,}/))).toEqual([
      ['NAME', 'OWNER', 'STATE', 'CREATED', 'CONTAINERS'],
      ['data', 'me', 'new', expect.stringMatching(/ ago$/), '-'],
      ['other', 'default', 'new', expect.stringMatching(/ ago$/), '-'],
      [''],
    ]);
    const shown = await run('volume', 'inspect', 'data', 'nothing');
    expect(JSON.parse(shown.stdout)).toEqual([{ ...volume, bytes: expect.any(Number) }]);
    expect(shown).toMatchObject({ status: 1, stderr: expect.stringContaining('there is no volume nothing') });
    const removed = await run('volume', 'rm', 'nothing', 'data', 'other');
    expect(removed).toMatchObject({ status: 1, stdout: 'other\n' });
    expect(removed.stderr).toContain('the volume data belongs to the owner "me"');
    expect(await json('volume', 'remove', '-f', 'nothing', 'data', '--any-owner')).toEqual([{ name: 'data' }]);
    expect(existsSync(mountpoint)).toBe(false);
    expect(await json('volume', 'ls')).toEqual([]);
  });

  it('makes a store where there is none, and names what is no name', async () => {
    const { run, lines } = newStore();
    expect((await run(['volume', 'ls'])).status).toBe(1);
    expect(await lines('volume', 'create', 'data')).toEqual(['data']);
    const refused = await run(['volume', 'create', '../data']);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('must be the name of a volume') });
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'provisioner run with volumes', () => {
  it('keeps what is written to one with a name, and tells who has it', async () => {
    const { run, json } = await commandLine();
    const script = 'echo hi >>/data/file; cat /data/file';
    expect(await run('run', '--rm', '-v', 'data:/data', IMAGE, 'sh', '-c', script)).toMatchObject({ stdout: 'hi\n' });
    const mount = 'type=volume,source=data,target=/other,readonly';
    const second = await run('run', '--name', 'job', '--mount', mount, IMAGE, 'sh', '-c', 'cat /other/file; >/other/x');
    expect(second).toMatchObject({ status: 1, stdout: 'hi\n', stderr: expect.stringContaining('Read-only') });
    expect(await json('volume', 'ls', '-f', 'dangling=false')).toMatchObject([{ name: 'data', containers: ['job'] }]);
    const inUse = await run('volume', 'rm', '-f', 'data');
    expect(inUse).toMatchObject({ status: 1, stdout: '', stderr: expect.stringContaining('container job has it') });
    await run('destroy', 'job');
    expect(await run('volume', 'rm', 'data')).toMatchObject({ status: 0, stdout: 'data\n' });
  });

  it('has those without a name gone with the container, and counts both in df', async () => {
    const { run, json, root } = await commandLine();
    const mounts = ['-v', '/cache', '--mount', 'type=volume,target=/more', '-v', 'data:/data'];
    await run('run', '--name', 'job', ...mounts, IMAGE, 'sh', '-c', 'echo x | tee /cache/x /more/x >/data/x');
    expect(await json('volume', 'ls')).toMatchObject([{ name: 'data' }]);
    expect(await json('df')).toMatchObject({ volumes: { count: 1 }, unaccounted: { count: 0 } });
    expect((await run('df')).stdout).toMatch(/^volumes +1 +[1-9]/m);
    expect((await run('cp', 'job:/cache/x', '-')).status).toBe(0);
    await run('destroy', 'job');
    expect(existsSync(join(root, 'containers/job'))).toBe(false);
    expect(await json('check')).toMatchObject({ findings: [], sound: true });
  });
});

describeWith(['root', 'overlay', 'cgroups', 'runc', 'busybox'], 'provisioner run with volumes, by runc', () => {
  it('has them as by crun', async () => {
    const { run } = await commandLine();
    const args = ['run', '--rm', '--runtime', 'runc', '--read-only', '-v', 'data:/data', '-v', '/cache'];
    const ended = await run(...args, IMAGE, 'sh', '-c', 'echo x >/data/x; echo y >/cache/y; cat /data/x /cache/y');
    expect(ended).toEqual({ status: 0, stdout: 'x\ny\n', stderr: '' });
  });
});
