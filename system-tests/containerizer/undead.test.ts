import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { processStat } from '#src/system/processes/process-stat.js';
import { again, expectNothingLeft, IMAGE, killMonitors, sh, storeWithBusybox } from '../helpers/containers.js';
import { mountFileSystem } from '../helpers/file-systems.js';
import { describeWith } from '../helpers/requirements.js';

const SOON = 5000;

/** A file system on which whoever writes waits in state D until it is let go. */
function frozenFileSystem(): { readonly path: string; letGo(): void } {
  const { path } = mountFileSystem('ext4');
  writeFileSync(join(path, 'file'), '');
  const fsfreeze = (flag: string) => spawnSync('fsfreeze', [flag, path], { encoding: 'utf8' });
  expect(fsfreeze('-f')).toMatchObject({ status: 0, stderr: '' });
  let isFrozen = true;
  const letGo = () => {
    if (isFrozen) fsfreeze('-u');
    isFrozen = false;
  };
  onTestFinished(letGo);
  return { path, letGo };
}

/** A container whose program is killed, and does not die. */
async function undying() {
  const { path, letGo } = frozenFileSystem();
  const store = await storeWithBusybox();
  const mounts = [{ type: 'bind', source: path, target: '/data' }] as const;
  const script = sh('echo begun; echo more >> /data/file; echo written; sleep 60');
  const { pid = 0 } = await store.containers.launch('job', IMAGE, { ...script, mounts });
  await vi.waitFor(() => expect(processStat(pid)?.state).toBe('D'), { timeout: SOON });
  return { ...store, pid, letGo };
}

describeWith(
  ['root', 'overlay', 'cgroups', 'crun', 'busybox', 'loop'],
  'a program that does not die when it is killed',
  () => {
    test('is told to be so by each that would end it, and has ended as soon as it dies', async () => {
      const { containers, root, pid, letGo } = await undying();
      const details = { processes: [`${pid} D sh`] };
      const ends = [containers.stop('job', { grace: 10 }), containers.destroy('job', { running: 'kill' })];
      for (const end of await Promise.allSettled(ends)) {
        expect(end).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CONTAINER_UNDEAD', details } });
      }
      expect(await containers.get('job')).toMatchObject({ state: 'undead' });
      expect((await containers.recover()).running).toEqual(['job']);
      const other = await again(root);
      expect(await other.containers.get('job')).toMatchObject({ state: 'undead' });
      letGo();
      expect(await containers.wait('job')).toMatchObject({ signal: 9, reason: 'killed' });
      expect(await other.containers.get('job')).toMatchObject({ state: 'exited' });
      await containers.destroy('job');
      await expectNothingLeft(root);
    });

    test('is not told to have ended because nobody is there any more who would tell its end', async () => {
      const { provisioner, root, pid, letGo } = await undying();
      await provisioner.close();
      await killMonitors(root);
      const other = await again(root);
      await other.containers.recover();
      expect(processStat(pid)?.state).toBe('D');
      expect(await other.containers.get('job')).toMatchObject({ state: 'undead' });
      await expect(other.containers.destroy('job', { running: 'kill' })).rejects.toMatchObject({
        code: 'ERR_CONTAINER_UNDEAD',
      });
      letGo();
      expect(await other.containers.wait('job')).toMatchObject({ reason: 'monitor-lost' });
      expect(['Z', undefined]).toContain(processStat(pid)?.state);
      await other.containers.destroy('job');
      await expectNothingLeft(root);
    });
  },
);
