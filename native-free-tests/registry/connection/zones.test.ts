import type { LookupAddress, lookup } from 'node:dns';
import { expect, it } from 'vitest';
import {
  isLoopback,
  lookupWithin,
  maySend,
  type Zone,
  zoneOfAddress,
  zoneOfHost,
} from '#src/registry/connection/zones.js';

it.each([
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['0.0.0.0', 'loopback'],
  ['::1', 'loopback'],
  ['::', 'loopback'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::ffff:7f00:1', 'loopback'],
  ['169.254.169.254', 'link'],
  ['::ffff:169.254.169.254', 'link'],
  ['100.100.100.200', 'link'],
  ['168.63.129.16', 'link'],
  ['64:ff9b::7f00:1', 'loopback'],
  ['64:ff9b::127.0.0.1', 'loopback'],
  ['64:ff9b::a9fe:a9fe', 'link'],
  ['64:ff9b:1::a9fe:a9fe', 'link'],
  ['64:ff9b::808:808', 'elsewhere'],
  ['2002:7f00:1::', 'loopback'],
  ['2002:a9fe:a9fe::1', 'link'],
  ['2002:808:808::', 'elsewhere'],
  ['fe80::1', 'link'],
  ['fd00:ec2::254', 'link'],
  ['fd20:ce::254', 'link'],
  ['128.0.0.1', 'elsewhere'],
  ['10.0.0.1', 'elsewhere'],
  ['192.168.1.1', 'elsewhere'],
  ['fd00::1', 'elsewhere'],
  ['2001:db8::1', 'elsewhere'],
] as const)('the address %s is %s', (address, zone) => {
  expect(zoneOfAddress(address)).toBe(zone);
});

it.each([
  ['http://localhost:5000', 'loopback'],
  ['http://LOCALHOST.:5000', 'loopback'],
  ['http://some.thing.localhost', 'loopback'],
  ['http://127.1', 'loopback'],
  ['http://0x7f000001:80', 'loopback'],
  ['http://2130706433', 'loopback'],
  ['http://0', 'loopback'],
  ['http://[::1]:5000', 'loopback'],
  ['http://[::ffff:127.0.0.1]', 'loopback'],
  ['http://0xa9fea9fe', 'link'],
  ['http://192.0.2.1', 'elsewhere'],
  ['http://localhost.example', undefined],
  ['http://notlocalhost', undefined],
] as const)('the host of %s says %s of itself', (url, zone) => {
  const { host } = new URL(url);
  expect(zoneOfHost(host)).toBe(zone);
});

it.each([
  ['localhost:5000', true],
  ['a.localhost', true],
  ['127.0.0.9:80', true],
  ['[::1]:5000', true],
  ['0.0.0.0:5000', false],
  ['[::ffff:7f00:1]', false],
  ['localhost.example', false],
])('%s is meant for loopback: %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

it('nobody sends anybody nearer than he is', () => {
  const zones = ['loopback', 'link', 'elsewhere'] as const;
  const allowed = zones.flatMap((from) => zones.filter((to) => maySend(from, to)).map((to) => `${from} ${to}`));
  expect(allowed).toEqual([
    'loopback loopback',
    'loopback link',
    'loopback elsewhere',
    'link link',
    'link elsewhere',
    'elsewhere elsewhere',
  ]);
});

/** Asks for a name whose addresses are handed in. */
function ask(zone: Zone, addresses: readonly string[], all = true): Promise<unknown> {
  const found = addresses.map((address): LookupAddress => ({ address, family: address.includes(':') ? 6 : 4 }));
  const names = ((_: string, __: unknown, answer: (error: null, found: LookupAddress[]) => void) =>
    answer(null, found)) as unknown as typeof lookup;
  return new Promise((resolve, reject) =>
    lookupWithin(zone, names)('name.example', { all }, (error, address, family) =>
      error === null ? resolve(all ? address : [address, family]) : reject(error),
    ),
  );
}

it('a name gives the addresses of one zone and no others, whatever it means next', async () => {
  const both = ['127.0.0.1', '192.0.2.1', '::1', '2001:db8::1', '169.254.169.254'];
  const addressesIn = async (zone: Zone) => ((await ask(zone, both)) as LookupAddress[]).map(({ address }) => address);
  expect(await addressesIn('elsewhere')).toEqual(['192.0.2.1', '2001:db8::1']);
  expect(await addressesIn('loopback')).toEqual(['127.0.0.1', '::1']);
  expect(await ask('elsewhere', both, false)).toEqual(['192.0.2.1', 4]);
  await expect(ask('elsewhere', ['127.0.0.1'])).rejects.toMatchObject({ zone: 'loopback', address: '127.0.0.1' });
  await expect(ask('loopback', ['192.0.2.1'])).rejects.toMatchObject({ zone: 'elsewhere' });
  await expect(ask('elsewhere', ['::ffff:169.254.169.254'], false)).rejects.toMatchObject({ zone: 'link' });
});
