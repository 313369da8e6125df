import { describe, expect, it } from 'vitest';
import type { FreezerFiles } from '#src/containerizer/cgroups/freezer-files.js';
import { settleFreezer } from '#src/containerizer/cgroups/settle-freezer.js';
import { HYBRID, VERSION_2 } from './machines.js';
import { LAUNCH, MadeTree } from './made-tree.js';

const STATE = `freezer${LAUNCH}/freezer.state`;
const FREEZE = `.${LAUNCH}/cgroup.freeze`;
const EVENTS = `.${LAUNCH}/cgroup.events`;

describe('freezing in version 1', () => {
  it('is done at once when all stand still at once', async () => {
    const tree = new MadeTree().write({ [STATE]: 'THAWED\n' });
    let pauses = 0;
    const cgroup = tree.cgroup(HYBRID, { pause: async () => void pauses++ });
    await expect(cgroup.freeze()).resolves.toBe(true);
    expect([tree.read(STATE), cgroup.isFrozen(), pauses]).toEqual(['FROZEN', true, 0]);
    await expect(cgroup.thaw()).resolves.toBe(true);
    expect([tree.read(STATE), cgroup.isFrozen()]).toEqual(['THAWED', false]);
  });

  it('is asked for again as long as it is not done', async () => {
    const asked: boolean[] = [];
    const slow: FreezerFiles = {
      ask: (_, frozen) => asked.push(frozen) > 0,
      state: () => (asked.length < 5 ? 'freezing' : 'frozen'),
    };
    await expect(settleFreezer(slow, 'x', true, async () => {})).resolves.toBe('settled');
    expect(asked).toEqual([true, true, true, true, true]);
  });

  it('ends with all going on when one never stands still, after two seconds or so', async () => {
    const asked: boolean[] = [];
    const never: FreezerFiles = { ask: (_, frozen) => asked.push(frozen) > 0, state: () => 'freezing' };
    let waited = 0;
    const pause = async (milliseconds: number) => {
      waited += milliseconds;
    };
    await expect(settleFreezer(never, 'x', true, pause)).resolves.toBe('late');
    expect(asked.at(-1)).toBe(false);
    expect(waited).toBeGreaterThan(1500);
    expect(waited).toBeLessThan(2500);
  });

  it('ends when the cgroup goes meanwhile', async () => {
    let looks = 0;
    const going: FreezerFiles = { ask: () => true, state: () => (++looks < 3 ? 'freezing' : undefined) };
    await expect(settleFreezer(going, 'x', true, async () => {})).resolves.toBe('gone');
  });
});

describe('freezing in version 2', () => {
  it('waits for the event', async () => {
    const tree = new MadeTree().write({ [FREEZE]: '0\n', [EVENTS]: 'populated 1\nfrozen 0\n' });
    let pauses = 0;
    const cgroup = tree.cgroup(VERSION_2, {
      pause: async () => {
        expect(cgroup.isFrozen()).toBe(false);
        if (++pauses === 3) tree.write({ [EVENTS]: `populated 1\nfrozen ${tree.read(FREEZE)}\n` });
      },
    });
    await expect(cgroup.freeze()).resolves.toBe(true);
    expect([tree.read(FREEZE), cgroup.isFrozen(), pauses]).toEqual(['1', true, 3]);
    pauses = 2;
    tree.write({ [EVENTS]: 'populated 1\nfrozen 1\n' });
    const thawing = tree.cgroup(VERSION_2, {
      pause: async () => void tree.write({ [EVENTS]: 'populated 1\nfrozen 0\n' }),
    });
    await expect(thawing.thaw()).resolves.toBe(true);
    expect([tree.read(FREEZE), cgroup.isFrozen()]).toEqual(['0', false]);
  });

  it('ends with all going on and the culprits named when the event does not come', async () => {
    const tree = new MadeTree().write({
      [FREEZE]: '0\n',
      [EVENTS]: 'populated 1\nfrozen 0\n',
      [`.${LAUNCH}/cgroup.procs`]: '40\n41\n',
      '/proc/40/stat': '40 (dd) D 1 40 40',
      '/proc/41/stat': '41 (sh) S 1 41 41',
    });
    await expect(tree.cgroup(VERSION_2).freeze()).rejects.toMatchObject({
      code: 'ERR_FREEZE_TIMEOUT',
      details: { processes: ['40 D dd'] },
    });
    expect(tree.read(FREEZE)).toBe('0');
  });
});

it.each([
  ['version 1', HYBRID],
  ['version 2', VERSION_2],
])('what is not there cannot be frozen in %s, nor thawed', async (_, machine) => {
  const cgroup = new MadeTree().cgroup(machine);
  expect(await Promise.all([cgroup.freeze(), cgroup.thaw()])).toEqual([false, false]);
});
