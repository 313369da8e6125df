import { describe, expect, it } from 'vitest';
import { networkFiles } from '#src/containerizer/bundle/network-files.js';

const HOST = { hosts: '10.0.0.1 db', resolvConf: 'search example\nnameserver 10.0.0.2\noptions ndots:2\n' };

describe('without a network', () => {
  it('a container knows itself, and whom the caller adds', () => {
    const { hosts, hostname, resolvConf } = networkFiles(
      { addHosts: { db: '192.0.2.1', db6: '2001:db8::1' } },
      'h',
      HOST,
    );
    expect(hosts.split('\n')).toEqual([
      '192.0.2.1\tdb',
      '2001:db8::1\tdb6',
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost ip6-localhost ip6-loopback',
      '127.0.0.1\th',
      '',
    ]);
    expect(hostname).toBe('h\n');
    expect(resolvConf).toMatch(/^# .*\n$/);
  });

  it('there is no way to the host', () => {
    expect(() => networkFiles({ addHosts: { gate: 'host-gateway' } }, 'h', HOST)).toThrow(
      expect.objectContaining({ code: 'ERR_BAD_OPTION', hint: expect.stringContaining('network') }),
    );
  });
});

describe("with the host's network", () => {
  it('a container knows whom the host knows, and asks whom the host asks', () => {
    const { hosts, resolvConf } = networkFiles({ network: 'host', addHosts: { gate: 'host-gateway' } }, 'h', HOST);
    expect(hosts).toBe('127.0.0.1\tgate\n10.0.0.1 db\n127.0.0.1\thost.containers.internal\n127.0.0.1\th\n');
    expect(resolvConf).toBe(HOST.resolvConf);
  });

  it("name servers of the caller's take the place of the host's, and nothing else does", () => {
    const { resolvConf } = networkFiles({ network: 'host', dns: ['192.0.2.53', '::1'] }, 'h', HOST);
    expect(resolvConf).toBe('search example\noptions ndots:2\nnameserver 192.0.2.53\nnameserver ::1\n');
  });
});

describe('with a network of its own', () => {
  const JOINED = {
    ...{ name: 'n', path: '/run/n', address: '10.9.0.5', hostAddress: '10.9.0.1', isInternal: false, ports: [] },
    nameServers: ['10.9.0.1'],
  };
  const spec = { network: 'n', addHosts: { gate: 'host-gateway' } };

  it('a container knows itself and this machine by their addresses there, and asks the name server of the network', () => {
    const { hosts, resolvConf } = networkFiles(spec, 'h', HOST, JOINED);
    expect(hosts.split('\n').slice(0, -1)).toEqual([
      '10.9.0.1\tgate',
      '127.0.0.1\tlocalhost',
      '::1\tlocalhost ip6-localhost ip6-loopback',
      '10.9.0.1\thost.containers.internal',
      '10.9.0.5\th',
    ]);
    expect(resolvConf).toBe('nameserver 10.9.0.1\n');
  });

  it("where there is none it asks the machine's, but for those on the machine itself", () => {
    const asking = (resolvConf: string, dns?: string[]) =>
      networkFiles({ ...spec, dns }, 'h', { hosts: '', resolvConf }, { ...JOINED, nameServers: 'machine' }).resolvConf;
    expect(asking('search example\nnameserver 127.0.0.53\nnameserver 192.0.2.1\n')).toBe(
      'search example\nnameserver 192.0.2.1\n',
    );
    expect(asking('nameserver 127.0.0.53\nnameserver ::1\n')).toMatch(/^#/);
    expect(asking('nameserver 192.0.2.1\n', ['192.0.2.7'])).toBe('nameserver 192.0.2.7\n');
  });

  it('without a way out it asks nobody outside, and this machine has no name', () => {
    const joined = { ...JOINED, hostAddress: undefined, isInternal: true, nameServers: 'machine' as const };
    const { hosts, resolvConf } = networkFiles({ network: 'n' }, 'h', HOST, joined);
    expect(hosts).not.toContain('containers.internal');
    expect(resolvConf).toMatch(/^#/);
    expect(() => networkFiles(spec, 'h', HOST, joined)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
  });
});

it.each([
  { addHosts: { 'a\n10.0.0.1 bank': '10.0.0.1' } },
  { addHosts: { a: '10.0.0.1\n10.0.0.2 bank' } },
  { addHosts: { a: 'b' } },
  { dns: ['10.0.0.1\noptions debug'] },
  { dns: ['resolver.example'] },
])('%j is refused', (spec) => {
  expect(() => networkFiles(spec, 'h', HOST)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
});
