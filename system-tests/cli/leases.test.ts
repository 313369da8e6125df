import { expect, it } from 'vitest';
import { hierarchiesOfThisProcess } from '#src/containerizer/cgroups/hierarchies.js';
import { leasableCpus } from '#src/containerizer/leases/leasable-cpus.js';
import { IMAGE, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { newStore } from './run-cli.js';

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox', 'loop'], 'provisioner leases', () => {
  it('shows who has what, and who else wants it is told', async () => {
    const { root } = await storeWithBusybox();
    const processors = leasableCpus(hierarchiesOfThisProcess()).counted().length;
    const { start } = newStore();
    const run = (...args: string[]) => start(['--root', root, ...args]).done;
    expect(await run('leases')).toMatchObject({ status: 0, stdout: 'CONTAINER   CPUS   DEVICES   AGE\n' });
    const lease = ['--lease-cpus', '1-1', '--lease-device', '/dev/loop-control'];
    expect(await run('run', '-d', '--name', 'job', ...lease, IMAGE, 'sleep', '100')).toMatchObject({ status: 0 });
    expect((await run('leases')).stdout).toMatch(/^CONTAINER .*\njob +1 +\/dev\/loop-control +\d+ seconds?\n$/);
    const shown = JSON.parse((await run('leases', '--json')).stdout);
    const mine = { cpus: '1', devices: ['/dev/loop-control'] };
    expect(shown).toEqual([
      {
        id: 'job',
        launch: expect.stringMatching(/^[0-9a-f]{32}$/),
        reservedBy: null,
        ...mine,
        since: expect.any(String),
      },
    ]);
    expect(JSON.parse((await run('ps', '--json')).stdout)).toMatchObject([{ launch: { leased: mine } }]);
    for (const wanted of [
      ['--lease-cpus', String(processors)],
      ['--cpuset-cpus', '1'],
      ['--device', '/dev/loop-control:r'],
      lease,
    ]) {
      const { status, stderr } = await run('run', '--rm', ...wanted, IMAGE, 'true');
      expect(status).toBe(125);
      expect(stderr).toMatch(
        /cannot be had: container job has leased .+\nhint: `provisioner leases` shows who has what/,
      );
    }
    await run('stop', '-t', '0', 'job');
    expect(await run('run', '--rm', ...lease, IMAGE, 'true')).toMatchObject({ status: 0 });
    expect(JSON.parse((await run('leases', '--json')).stdout)).toEqual([]);
    expect(JSON.parse((await run('ps', '--json')).stdout)).toMatchObject([{ launch: { leased: null } }]);
  });

  it('takes a number of processors of those that this process may run on', async () => {
    const { root } = await storeWithBusybox();
    const { start } = newStore();
    const run = (...args: string[]) => start(['--root', root, ...args], { within: ['taskset', '-c', '1'] }).done;
    const script = ['sh', '-c', 'grep Cpus_allowed_list /proc/self/status'];
    expect(await run('run', '--rm', '--lease-cpus', '1', IMAGE, ...script)).toMatchObject({
      status: 0,
      stdout: 'Cpus_allowed_list:\t1\n',
    });
    expect(await run('run', '--rm', '--lease-cpus', '2', IMAGE, ...script)).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('2 processors cannot be leased: of those here this process may use 1'),
    });
    expect(await run('run', '--rm', '--lease-cpus', '0-0', IMAGE, ...script)).toMatchObject({
      stdout: 'Cpus_allowed_list:\t0\n',
    });
  });
});
