import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { APP_V1, APP_V2 } from '../cli/run-cli.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const LIBRARY = new URL('../../dist/index.js', import.meta.url).href;
const MAIN = new URL('../../dist/cli/main.js', import.meta.url).pathname;

/** With so many free descriptors each work is tried. Copying in threads takes the most, some 15. */
const FREE = [0, 1, 2, 3, 5, 8, 12, 60];

/** An agent that has done all of it before, so that nothing of the program has to be loaded, and then has hardly a descriptor left. */
function agent(root: string): string {
  return `
    import { closeSync, openSync, readdirSync } from 'node:fs';
    import { Provisioner } from '${LIBRARY}';
    const p = await Provisioner.open({ root: '${root}', workers: 2, unsafeNoSync: true });
    const works = {
      provision: () => p.provision('job', 'app:v1', { backend: 'overlay' }),
      copy: () => p.provision('job', 'app:v1', { backend: 'copy' }),
      destroy: () => p.destroy('kept'),
      pull: () => p.images.pull('${APP_V2}', { name: 'app:v2' }),
      prune: () => p.pruneImages(['app:v1']),
      recover: () => p.recover(),
      check: () => p.store.check({ full: true }),
      df: () => p.store.usage(),
      info: () => p.store.info(),
      containers: () => p.containers.list(),
    };
    await p.images.pull('${APP_V1}', { name: 'app:v1' });
    const cleanUp = async () => {
      for (const { id } of await p.containers.list()) await p.destroy(id);
      await p.images.remove('app:v2').catch(() => {});
      await p.pruneImages(['app:v1']);
      await p.store.swept();
    };
    await p.provision('kept', 'app:v1');
    for (const work of Object.values(works)) await work().catch(() => {});
    await p.store.why('app:v1');
    await cleanUp();
    const outcomes = [];
    for (const [name, work] of Object.entries(works)) {
      for (const free of ${JSON.stringify(FREE)}) {
        if (name === 'destroy') await p.provision('kept', 'app:v1');
        const taken = [];
        try { for (;;) taken.push(openSync('/dev/null')); } catch {}
        for (let n = 0; n < free; n++) closeSync(taken.pop());
        let outcome = 'done';
        try { await work(); } catch (error) { outcome = error.code + (error.hint ? '' : ' without a hint'); }
        for (const descriptor of taken) closeSync(descriptor);
        await p.store.swept();
        // To make sure that nothing is mounted in a copy takes descriptors too: then its remains are recorded, for the next recovery or destroy.
        await p.recover();
        await p.store.swept();
        const staged = readdirSync(p.root + '/staging');
        const found = (await p.store.check()).findings.map(({ message }) => message);
        outcomes.push({ name, free, outcome, left: [...staged, ...found] });
        await cleanUp();
      }
    }
    await p.close();
    console.log(JSON.stringify(outcomes));`;
}

function withDescriptors(count: number, args: readonly string[]) {
  const command = ['-c', `ulimit -n ${count}; exec "$@"`, 'sh', process.execPath, ...args];
  return spawnSync('sh', command, { encoding: 'utf8', timeout: 100_000 });
}

describeWith(['root', 'overlay'], 'an agent with hardly a descriptor left', () => {
  it('does what it can, says of the rest what is short, and leaves nothing half done that the next recovery does not take', () => {
    const root = join(temporaryDirectory(), 'store');
    const { status, stdout, stderr } = withDescriptors(200, ['--input-type=module', '-e', agent(root)]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const outcomes = JSON.parse(stdout) as { name: string; free: number; outcome: string; left: string[] }[];
    expect(outcomes.filter(({ outcome }) => !['done', 'ERR_NO_DESCRIPTORS'].includes(outcome))).toEqual([]);
    expect(outcomes.filter(({ left }) => left.length > 0)).toEqual([]);
    expect(outcomes.filter(({ free, outcome }) => free === 60 && outcome !== 'done')).toEqual([]);
    expect(outcomes.filter(({ free, outcome }) => free === 0 && outcome !== 'done').length).toBeGreaterThan(3);
  });

  it('is told the same by a command that cannot even load all of itself', () => {
    const root = join(temporaryDirectory(), 'store');
    const counts = Array.from({ length: 21 }, (_, index) => 20 + index);
    const codes = counts.map((count) => {
      const { status, stderr } = withDescriptors(count, [MAIN, '--root', root, '--json', 'pull', APP_V1]);
      const { error } = JSON.parse(stderr) as { error: { code: string; hint: string } };
      return { status, code: error.code, helps: error.hint.includes('ulimit -n') };
    });
    expect(codes).toEqual(counts.map(() => ({ status: 1, code: 'ERR_NO_DESCRIPTORS', helps: true })));
    expect(withDescriptors(1024, [MAIN, '--root', root, '--json', 'pull', APP_V1]).status).toBe(0);
  });
});
