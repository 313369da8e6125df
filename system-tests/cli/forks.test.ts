import { expect, it } from 'vitest';
import { IMAGE, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { newStore } from './run-cli.js';

/** The command line beside a process that has the same store open, with a container that has been prepared, and runs. */
async function commandLine() {
  const { root, containers, provisioner } = await storeWithBusybox();
  const { start } = newStore();
  const run = (...args: string[]) => start(['--root', root, ...args]).done;
  const fed = (input: string, ...args: string[]) => start(['--root', root, ...args], { input }).done;
  const json = async (...args: string[]) => JSON.parse((await run(...args, '--json')).stdout);
  await run('run', '-d', '--name', 'prepared', IMAGE, 'sh', '-c', 'cat /made; echo made > /made; exec sleep 60');
  return { containers, provisioner, run, fed, json };
}

const statusOf = (table: string, id: string) =>
  table
    .split('\n')
    .find((line) => line.startsWith(`${id} `))
    ?.split(/ {2,}/)[3];

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'provisioner fork', () => {
  it('makes one that is to be started, which runs what the other one runs, or another command', async () => {
    const { containers, run } = await commandLine();
    expect(await run('fork', 'prepared', 'copy')).toEqual({ status: 0, stdout: 'copy\n', stderr: '' });
    expect(statusOf((await run('ps')).stdout, 'copy')).toBe('provisioned');
    expect(await run('wait', 'copy')).toMatchObject({ status: 0, stdout: '125\n' });
    expect((await run('start', 'copy')).stdout).toBe('copy\n');
    expect(statusOf((await run('ps')).stdout, 'copy')).toBe('running');
    const attached = await run('fork', '-a', 'prepared', 'attached', 'sh', '-c', 'cat /made; exit 4');
    expect(attached).toMatchObject({ status: 4, stdout: 'made\n', stderr: '' });
    expect(await run('fork', 'prepared', 'copy')).toMatchObject({
      ...{ status: 1, stdout: '' },
      stderr: expect.stringContaining('there is a container copy already'),
    });
    expect((await run('fork', '-a', 'nowhere', 'new')).status).toBe(125);
    for (const id of ['prepared', 'copy']) await containers.destroy(id, { running: 'kill' });
  });

  it('tells programs what it has made, and whether that runs', async () => {
    const { containers, provisioner, json, run } = await commandLine();
    const { pid, launchId } = (await containers.get('prepared')) ?? {};
    const [made] = (await provisioner.containers.get('prepared'))?.rootfses ?? [];
    const told = { backend: 'overlay', image: made?.image, rootfs: expect.stringContaining('/containers/') };
    const forked = await json('fork', 'prepared', 'copy');
    expect(forked).toEqual({ ...told, id: 'copy', launch: expect.stringMatching(/^[0-9a-f]{32}$/), pid: null });
    expect(forked.launch).not.toBe(launchId);
    const started = await json('fork', '--start', 'prepared', 'started');
    expect(started).toMatchObject({ ...told, id: 'started', pid: expect.any(Number) });
    expect(started.pid).not.toBe(pid);
    await provisioner.provision('bare', IMAGE);
    expect(await json('fork', 'bare', 'bare-copy')).toMatchObject({ id: 'bare-copy', launch: null, pid: null });
    const refused = await run('fork', '--start', 'bare', 'never');
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('nothing has been launched in') });
    expect(await provisioner.containers.get('never')).toBeUndefined();
    for (const id of ['prepared', 'started']) await containers.destroy(id, { running: 'kill' });
  });

  it('feeds what it starts what comes to it', async () => {
    const { containers, run, fed } = await commandLine();
    const counted = await fed('x'.repeat(70_000), 'fork', '-ai', 'prepared', 'copy', 'wc', '-c');
    expect(counted).toEqual({ status: 0, stdout: '70000\n', stderr: '' });
    await run('run', '-d', '-t', '--name', 'terminal', IMAGE, 'sh');
    const sat = await fed(
      'cat /made\nstty -a >/dev/null && echo at $((6*7))\nexit 3\n',
      'fork',
      '-ai',
      'terminal',
      'other',
    );
    expect(sat).toMatchObject({ status: 3, stdout: expect.stringContaining('at 42') });
    for (const id of ['prepared', 'copy', 'terminal', 'other']) await containers.destroy(id, { running: 'kill' });
  });

  it('leaves nothing of one that it was to start and could not, and can be called again', async () => {
    const { containers, provisioner, run } = await commandLine();
    for (const [flag, status] of [
      ['--start', 1],
      ['-a', 127],
    ] as const) {
      const failed = await run('fork', flag, 'prepared', 'copy', '/not/there');
      expect(failed).toMatchObject({ status, stdout: '', stderr: expect.stringContaining('"/not/there"') });
      expect(await containers.get('copy')).toBeUndefined();
      expect(await provisioner.containers.get('copy')).toBeUndefined();
    }
    expect(await run('fork', '-a', 'prepared', 'copy', 'cat', '/made')).toMatchObject({ status: 0, stdout: 'made\n' });
    for (const id of ['prepared', 'copy']) await containers.destroy(id, { running: 'kill' });
  });

  it("lets another owner's container stand still for those alone who say so", async () => {
    const { containers, run } = await commandLine();
    const refused = await run('fork', 'prepared', 'copy', '--owner', 'other');
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('--any-owner') });
    for (const [flag, id] of [
      ['--no-pause', 'one'],
      ['--any-owner', 'two'],
    ] as const) {
      expect((await run('fork', '--owner', 'other', flag, 'prepared', id)).stdout).toBe(`${id}\n`);
      expect((await containers.get(id))?.owner).toBe('other');
    }
    await containers.destroy('prepared', { running: 'kill' });
  });
});
