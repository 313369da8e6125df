import { describe, expect, it } from 'vitest';
import { takeAddress } from '#src/containerizer/networks/addresses.js';
import type { OwnNetwork } from '#src/containerizer/networks/network.js';
import { openMemoryStore } from '../../helpers/memory-store.js';

const network = (subnet: string, gateway: string): OwnNetwork => ({
  ...{ kind: 'own', name: 'n', driver: 'netavark', internal: false, subnet, gateway, bridge: 'pv-n' },
});
const SMALL = network('10.9.0.0/29', '10.9.0.1');
const LARGE = network('10.10.0.0/16', '10.10.0.1');
const taker = (holder: string) => ({ holder, bootId: 'boot' });

describe('addresses of a network', () => {
  it('are given to one each, but for its own, that of the machine and the last one; then it is full', async () => {
    const p = await openMemoryStore();
    const taken = await Promise.all(
      ['a', 'b', 'c', 'd', 'e'].map((holder) => takeAddress(p, SMALL, taker(holder), undefined)),
    );
    expect(taken.sort()).toEqual(['10.9.0.2', '10.9.0.3', '10.9.0.4', '10.9.0.5', '10.9.0.6']);
    await expect(takeAddress(p, SMALL, taker('f'), undefined)).rejects.toMatchObject({ code: 'ERR_NETWORK_FULL' });
  });

  it('are free again when they are given back', async () => {
    const p = await openMemoryStore();
    for (const holder of ['a', 'b', 'c', 'd', 'e']) await takeAddress(p, SMALL, taker(holder), undefined);
    const [first] = await p.holdings.list({ holder: 'c' });
    await p.holdings.release(await p.holdings.list({ holder: 'c' }));
    expect(await takeAddress(p, SMALL, taker('f'), undefined)).toBe(first?.name);
  });

  it('can be chosen, once', async () => {
    const p = await openMemoryStore();
    expect(await takeAddress(p, SMALL, taker('a'), '10.9.0.4')).toBe('10.9.0.4');
    await expect(takeAddress(p, SMALL, taker('b'), '10.9.0.4')).rejects.toMatchObject({ code: 'ERR_ADDRESS_IN_USE' });
  });

  it.each(['10.9.0.0', '10.9.0.1', '10.9.0.7', '10.9.0.8', '10.8.0.2', 'ten', ''])(
    '%j is none to choose',
    async (address) => {
      const p = await openMemoryStore();
      await expect(takeAddress(p, SMALL, taker('a'), address)).rejects.toMatchObject({ code: 'ERR_BAD_OPTION' });
      expect(await p.holdings.list()).toEqual([]);
    },
  );

  it('of a large network are as many as a bridge has room for', async () => {
    const p = await openMemoryStore();
    const names = Array.from({ length: 999 }, (_, index) => `10.10.${3 + (index >> 8)}.${index & 255}`);
    await p.holdings.take(taker('many'), [{ kind: 'network-address', names }]);
    expect(names).not.toContain(await takeAddress(p, LARGE, taker('last'), undefined));
    await expect(takeAddress(p, LARGE, taker('one more'), undefined)).rejects.toMatchObject({
      code: 'ERR_NETWORK_FULL',
    });
  });
});
