import { expect } from 'vitest';
import type { Clock } from '#src/base/time/clock.js';
import { type WarmRecord, warmContainers } from '#src/containerizer/index.js';
import type { ImageId, ProvisionerOptions } from '#src/index.js';
import { openWarmPools, type WarmPoolEvent, type WarmPoolsOptions } from '#src/warm-pool/index.js';
import { SteppedClock } from '../helpers/fake-containers/fake-clock.js';
import { type FakeImage, FakeMachine } from '../helpers/fake-containers/fake-containerizer.js';
import type { FakeProgram } from '../helpers/fake-containers/fake-process.js';
import { openMemoryStore } from '../helpers/memory-store.js';

/** What each container runs by default. */
export const APP = 'app:1';
const programs: Readonly<Record<string, FakeProgram>> = {
  runs: (process) => process.forEver(),
  ends: async () => 0,
};

const imageOf = (id?: string): FakeImage => ({
  ...{ id: id as ImageId | undefined, command: ['runs'], env: {}, files: [] },
  users: { root: { uid: 0, gid: 0, home: '/root' } },
});

/** Of this test. */
let clocks: SteppedClock[] = [];

/** A store whose containers are in memory, and whose time stands still until the test steps on. */
export async function storeForPools(options: ProvisionerOptions = {}) {
  const clock = new SteppedClock();
  clocks = [clock];
  const images: Record<string, FakeImage> = { [APP]: imageOf() };
  const machine = new FakeMachine({ clock, images, programOf: ([name = '']) => programs[name] });
  const real = await openMemoryStore(options);
  /** Names of what is held by those who have died, as far as this store knows. */
  const dead = new Set<string>();
  const holdings = withOwn(real.holdings, {
    isAlive: (one) => !('name' in one && dead.has(String(one.name))) && real.holdings.isAlive(one),
  });
  const provisioner = withOwn(real, { holdings });
  const containers = machine.containerizer(real.owner);

  /** Pools, as a process begins them. What is told is written as `claimed app`, with the name of the pool. */
  const open = async (own: Partial<WarmPoolsOptions> = {}) => {
    const events: WarmPoolEvent[] = [];
    let hasDied = false;
    const ownClock: Clock = {
      now: () => clock.now(),
      after: (milliseconds, call) =>
        clock.after(milliseconds, () => {
          if (!hasDied) call();
        }),
    };
    const pools = await openWarmPools(
      { provisioner, tell: (event) => events.push(event), ...own },
      { clock: ownClock, random: () => 0.5, containerizer: containers },
    );
    /** From now on it does nothing by itself. */
    const die = () => {
      hasDied = true;
    };
    return { pools, events, die };
  };
  /** As they are looked at every half second: all of it has been done. */
  const look = async () => {
    await clock.step(500);
    await passed();
  };
  /** What is recorded when all that was under way has been done. */
  const waiting = async (): Promise<WarmRecord[]> => {
    await passed();
    return warmContainers(provisioner);
  };
  const move = (name: string, id: string) => Object.assign(images, { [name]: imageOf(id) });
  return { provisioner, containers, machine, clock, dead, open, look, waiting, move };
}

/** The same object, but for some of it. */
function withOwn<T extends object>(object: T, own: Partial<T>): T {
  return new Proxy(object, {
    get(target, name) {
      if (name in own) return own[name as keyof T];
      const value = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** What is done in memory has been done. */
export async function passed(): Promise<void> {
  for (let turns = 0; turns < 30; turns++) await new Promise((resolve) => setImmediate(resolve));
}

/** Has so many ready, and makes no more: what was handed out is replaced a moment later. */
export async function filled(pool: { readonly size: number; readonly creators: number }, size: number): Promise<void> {
  const isFilled = () => pool.size === size && pool.creators === 0;
  await passed();
  if (!isFilled()) for (const clock of clocks) await clock.step(10);
  await expect.poll(isFilled, { interval: 2, timeout: 5000 }).toBe(true);
  expect([pool.size, pool.creators]).toEqual([size, 0]);
}
