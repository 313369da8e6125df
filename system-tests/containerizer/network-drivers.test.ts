import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CniDriver } from '#src/containerizer/networks/drivers/cni.js';
import { NetavarkDriver } from '#src/containerizer/networks/drivers/netavark.js';
import type { Connection, NetworkDriver } from '#src/containerizer/networks/drivers/network-driver.js';
import { Namespaces } from '#src/containerizer/networks/namespaces.js';
import type { OwnNetwork } from '#src/containerizer/networks/network.js';
import { loadProcesses } from '#src/system/processes/load-processes.js';
import type { Processes, SpawnRequest } from '#src/system/processes/processes.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';
import { inNamespace, interfacesNamed, rulesWith } from '../helpers/networks.js';
import { describeWith, type Requirement } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const PATIENCE = 20_000;
const id = () => randomBytes(16).toString('hex');

/** What both drivers promise, each with the real programs. */
function networkDriverContract(
  needs: readonly Requirement[],
  name: NetworkDriver['name'],
  open: (processes: Processes, namespaces: Namespaces, directory: string) => NetworkDriver,
): void {
  describeWith(['root', 'network', ...needs], `${name} keeps the contract of a network driver`, () => {
    let namespaces: Namespaces;
    let driver: NetworkDriver;
    let network: OwnNetwork;

    beforeEach(() => {
      const directory = temporaryDirectory();
      namespaces = new Namespaces(`${directory}/namespaces`, loadProcesses(), loadSyscalls());
      driver = open(loadProcesses(), namespaces, directory);
      const bridge = `pt-${id().slice(0, 8)}`;
      network = { kind: 'own', name: 'test', driver: name, internal: false, bridge, ...range(randomBytes(1)[0] ?? 0) };
    });

    afterEach(async () => {
      for (const one of await namespaces.list()) await namespaces.remove(one);
    });

    const range = (part: number) => ({ subnet: `10.254.${part}.0/24`, gateway: `10.254.${part}.1` });
    const host = (last: number) => network.gateway.replace(/\d+$/, String(last));

    async function connection(last: number, ports: Connection['ports'] = []): Promise<Connection> {
      const one = id();
      return { id: one, namespace: await namespaces.make(one), network, address: host(last), ports };
    }

    const left = () => [...rulesWith(network.bridge), ...rulesWith(network.subnet), ...interfacesNamed(network.bridge)];

    test('two namespaces of one network reach each other and this machine, and have a loopback and a way out', async () => {
      const [one, other] = [await connection(5), await connection(6)];
      expect(await driver.connect(one, undefined)).toMatchObject({ address: host(5), gateway: network.gateway });
      await driver.connect(other, undefined);
      for (const address of [host(6), network.gateway, '127.0.0.1'])
        expect(inNamespace(one.namespace, 'busybox', 'ping', '-c1', '-W2', address).status, address).toBe(0);
      expect(inNamespace(one.namespace, 'ip', 'route').answer).toContain(`default via ${network.gateway}`);
      await driver.disconnect(one);
      await driver.disconnect(other);
      expect(left()).toEqual([]);
    });

    test('a port of this machine leads to one of the namespace, and no more when that has gone', async () => {
      const ports = [{ containerPort: 7, hostPort: 47_123, hostAddress: undefined, protocol: 'tcp' as const }];
      const one = await connection(5, ports);
      await driver.connect(one, undefined);
      expect(rulesWith('47123')).not.toEqual([]);
      await driver.disconnect(one);
      expect([...left(), ...rulesWith('47123')]).toEqual([]);
    });

    test('from a network without a way out nothing leads out', async () => {
      network = { ...network, internal: true };
      const one = await connection(5);
      await driver.connect(one, undefined);
      expect(inNamespace(one.namespace, 'ip', 'route').answer).not.toContain('default');
      expect(rulesWith(network.subnet)).toEqual([]);
      await driver.disconnect(one);
      expect(left()).toEqual([]);
    });

    test('to take off what is off already, or was never on, or has lost its namespace, leaves nothing and is no failure', async () => {
      const ports = [{ containerPort: 7, hostPort: 47_124, hostAddress: '127.0.0.1', protocol: 'udp' as const }];
      const one = await connection(5, ports);
      await driver.disconnect(one);
      const connected = await driver.connect(one, undefined);
      await driver.disconnect({ ...one, result: connected.result });
      await driver.disconnect(one);
      const lost = await connection(6, ports);
      const { result } = await driver.connect(lost, undefined);
      await namespaces.remove(lost.id);
      await driver.disconnect({ ...lost, namespace: undefined, result });
      expect([...left(), ...rulesWith('47124')]).toEqual([]);
    });

    test('one that is killed at any moment of its work can be taken off, and then nothing is left', {
      timeout: 120_000,
    }, async () => {
      const ports = [{ containerPort: 7, hostPort: 47_125, hostAddress: undefined, protocol: 'tcp' as const }];
      for (const milliseconds of [0, 5, 10, 20, 30, 40, 60, 80]) {
        const one = await connection(5, ports);
        const killing = open(killedAfter(milliseconds), namespaces, temporaryDirectory());
        await killing.connect(one, undefined).catch(() => undefined);
        await driver.disconnect(one);
        await namespaces.remove(one.id);
        expect([...left(), ...rulesWith('47125')], `killed after ${milliseconds} ms`).toEqual([]);
      }
    });

    test('one that nobody waits for any more is killed', async () => {
      const one = await connection(5);
      const giveUp = AbortSignal.abort(new Error('enough'));
      await expect(driver.connect(one, giveUp)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
      await driver.disconnect(one);
      expect(left()).toEqual([]);
    });

    test('what fails says why', async () => {
      const one = { ...(await connection(5)), address: '10.1.2.3.4' };
      const error = await driver.connect(one, undefined).catch((caught: Error) => caught);
      expect(error).toMatchObject({ code: 'ERR_NETWORK_FAILED' });
      expect(String(error)).toMatch(/10\.1\.2\.3\.4|address|invalid/i);
    });
  });
}

/** Processes that are killed so many milliseconds after they were started. */
function killedAfter(milliseconds: number): Processes {
  const real = loadProcesses();
  return Object.assign(Object.create(real) as Processes, {
    spawn: async (request: SpawnRequest) => {
      const started = await real.spawn(request);
      void sleep(milliseconds).then(() => {
        const handle = real.open(started.pid);
        handle?.send(9);
        handle?.close();
      });
      return started;
    },
    exitOf: real.exitOf.bind(real),
    openPipe: real.openPipe.bind(real),
    open: real.open.bind(real),
  });
}

const spareOf =
  (namespaces: Namespaces) =>
  async <T>(work: (namespace: string) => Promise<T>): Promise<T> => {
    const spare = id();
    try {
      return await work(await namespaces.make(spare));
    } finally {
      await namespaces.remove(spare);
    }
  };

networkDriverContract(['netavark', 'busybox'], 'netavark', (processes, namespaces, directory) => {
  const program = '/usr/lib/podman/netavark';
  return new NetavarkDriver({
    ...{ processes, program, directory, patience: PATIENCE, held: () => undefined },
    withSpareNamespace: spareOf(namespaces),
  });
});

networkDriverContract(['cni', 'busybox'], 'cni', (processes, namespaces) => {
  const directories = ['/opt/cni/bin', '/usr/lib/cni'];
  return new CniDriver({
    ...{ processes, directories, patience: PATIENCE, held: () => undefined },
    withSpareNamespace: spareOf(namespaces),
  });
});
