import { describe, expect, it } from 'vitest';
import { bundleConfig } from '#src/containerizer/bundle/bundle-config.js';
import { configText } from '#src/containerizer/bundle/config-text.js';
import type { LaunchSpec } from '#src/containerizer/launch-spec.js';
import { schemaFaults } from './runtime-spec-schema.js';
import { DEFAULT_CAPABILITIES, FACTS, IMAGE, inputOf } from './sample-input.js';

const NOBODY = { uid: 1000, gid: 1000, additionalGids: [1000, 44], home: '/' };

const SPECS: [string, LaunchSpec][] = [
  ['nothing asked for', {}],
  ['a command', { command: ['echo', 'ü \u2028 "x"\n'], env: { A: 'b=c', EMPTY: '' }, workingDir: '/srv' }],
  ['limits', { limits: { memoryBytes: 64 * 2 ** 20, cpus: 1.5, cpuset: '0-2', pids: 10 } }],
  ['limits that are none', { limits: { memoryBytes: 6 * 2 ** 20, memorySwapBytes: -1, pids: -1 } }],
  ['ulimits', { ulimits: { nofile: { soft: 10, hard: 1048576 }, core: { soft: 0, hard: -1 } } }],
  ['relaxed security', { addCapabilities: ['net_admin'], noNewPrivileges: false, network: 'host' }],
  ['a read-only root', { readOnly: true, hostname: 'h.example', init: true }],
  [
    'mounts',
    {
      mounts: [
        { type: 'bind', source: '/data', target: '/data', readOnly: true, exec: false },
        { type: 'tmpfs', target: '/scratch', sizeBytes: 4096, mode: 0o700, exec: true },
      ],
    },
  ],
];

describe('a bundle', () => {
  it.each(SPECS)('with %s is what the runtime-spec says', (_, spec) => {
    expect(schemaFaults(configText(bundleConfig(inputOf(spec))))).toEqual([]);
  });

  it('with a filter of either kind, or of another user, is what the runtime-spec says', () => {
    const oci = { defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW' }] };
    for (const seccomp of [{ oci, annotation: 'AQID' }, { oci }])
      expect(schemaFaults(configText(bundleConfig(inputOf({}, { seccomp, user: NOBODY }))))).toEqual([]);
  });

  it('that is wrong is found by the schema that the others are held against', () => {
    const config = bundleConfig(inputOf());
    expect(schemaFaults(configText({ ...config, hostname: 1 }))).not.toEqual([]);
    const linux = { ...config.linux, namespaces: [{ type: 'moon' }] };
    expect(schemaFaults(configText({ ...config, linux }))).not.toEqual([]);
    const mounts = [{ source: '/x' }];
    expect(schemaFaults(configText({ ...config, mounts }))).not.toEqual([]);
  });

  it('is the same for the same input', () => {
    expect(configText(bundleConfig(inputOf(SPECS[1]?.[1])))).toBe(configText(bundleConfig(inputOf(SPECS[1]?.[1]))));
  });
});

describe('what is not asked for', () => {
  it('keeps the container to itself', () => {
    const { process, linux, root } = bundleConfig(inputOf());
    expect(process).toMatchObject({ noNewPrivileges: true, terminal: false, user: { umask: 0o022 } });
    expect([...process.capabilities.bounding].sort()).toEqual([...DEFAULT_CAPABILITIES].sort());
    expect(process.capabilities).toMatchObject({ inheritable: [], ambient: [] });
    expect(linux.namespaces.map(({ type }) => type).sort()).toEqual([
      'cgroup',
      'ipc',
      'mount',
      'network',
      'pid',
      'uts',
    ]);
    expect(linux.resources.pids).toEqual({ limit: 4096 });
    expect(linux.resources.devices[0]).toEqual({ allow: false, access: 'rwm' });
    expect(linux.maskedPaths).toEqual(
      expect.arrayContaining(['/proc/kcore', '/sys/firmware', '/sys/devices/virtual/powercap']),
    );
    expect(linux.readonlyPaths).toContain('/proc/sys');
    expect(root).toEqual({ path: '/store/rootfs', readonly: false });
  });

  it('comes from the image', () => {
    const { process, hostname } = bundleConfig(inputOf());
    expect(process).toMatchObject({ args: ['/entry', 'serve'], cwd: '/app' });
    expect(process.env).toEqual(['PATH=/bin', 'HOSTNAME=job-1', 'HOME=/root', 'LANG=C']);
    expect(hostname).toBe('job-1');
  });

  it('gives a user who is not root no capability to begin with', () => {
    const { bounding, ...others } = bundleConfig(inputOf({}, { user: NOBODY })).process.capabilities;
    expect(bounding).toHaveLength(11);
    expect(others).toEqual({ effective: [], permitted: [], inheritable: [], ambient: [] });
  });
});

describe('the program', () => {
  it.each<[string, LaunchSpec, string[]]>([
    ["of the image's entrypoint and the caller's command", { command: ['other', 'x'] }, ['/entry', 'other', 'x']],
    ["of the image's entrypoint alone, when the command is empty", { command: [] }, ['/entry']],
    ["of the caller's entrypoint, without the image's command", { entrypoint: ['/mine'] }, ['/mine']],
    ["of both of the caller's", { entrypoint: ['/mine', '-a'], command: ['b'] }, ['/mine', '-a', 'b']],
    ['of the command, when the caller wants no entrypoint', { entrypoint: [], command: ['sh'] }, ['sh']],
    ["of the command, when the entrypoint is Docker's empty one", { entrypoint: [''], command: ['sh'] }, ['sh']],
    ['behind a small init', { init: true, command: ['x'] }, ['/dev/init', '--', '/entry', 'x']],
  ])('is made %s', (_, spec, args) => {
    expect(bundleConfig(inputOf(spec)).process.args).toEqual(args);
  });

  it.each<LaunchSpec>([{ entrypoint: [] }, { entrypoint: [''] }, { entrypoint: ['', 'x'] }])(
    'is missing in %j',
    (spec) => {
      expect(() => bundleConfig(inputOf(spec))).toThrow(expect.objectContaining({ code: 'ERR_NO_COMMAND' }));
    },
  );

  it('of an image whose entrypoint is one empty text is its command', () => {
    const image = { ...IMAGE, entrypoint: [''] };
    expect(bundleConfig(inputOf({}, { image })).process.args).toEqual(['serve']);
  });
});

describe('the environment', () => {
  it("has the caller's in place of the image's, each name once, and what every program expects", () => {
    const image = { ...IMAGE, env: ['A=1', 'A=2', 'odd', '=x', 'HOME=/of/image', 'N=a\0b'] };
    const { env } = bundleConfig(inputOf({ env: { A: '3', B: 'x=y', HOSTNAME: 'mine' } }, { image })).process;
    expect(env).toEqual([expect.stringMatching(/^PATH=.*:\/bin$/), 'HOSTNAME=mine', 'HOME=/of/image', 'A=3', 'B=x=y']);
  });

  it.each([{ '': 'x' }, { 'A=B': 'x' }, { A: 'x\0y' }])('refuses %j', (env) => {
    expect(() => bundleConfig(inputOf({ env }))).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
  });
});

describe('the working directory', () => {
  it.each([
    ['/a/../../b/', '/b'],
    ['/', '/'],
  ])('%s is %s', (workingDir, cwd) => {
    expect(bundleConfig(inputOf({ workingDir })).process.cwd).toBe(cwd);
  });

  it('of an image, when relative, lies below the top', () => {
    expect(bundleConfig(inputOf({}, { image: { ...IMAGE, workingDir: 'app' } })).process.cwd).toBe('/app');
  });

  it.each(['relative', '/proc/self/fd/7', '/x/../proc', '/a\0b'])('%j is refused', (workingDir) => {
    expect(() => bundleConfig(inputOf({ workingDir }))).toThrow(expect.objectContaining({ code: 'ERR_WORKING_DIR' }));
  });

  it('of an image may not be a descriptor either', () => {
    const image = { ...IMAGE, workingDir: '/proc/self/fd/8' };
    expect(() => bundleConfig(inputOf({}, { image }))).toThrow(expect.objectContaining({ code: 'ERR_WORKING_DIR' }));
  });
});

describe('capabilities', () => {
  const sets = (spec: LaunchSpec, user = inputOf().user) => bundleConfig(inputOf(spec, { user })).process.capabilities;

  it('are added and dropped by name, however it is written', () => {
    const { bounding } = sets({ addCapabilities: ['CAP_net_admin'], dropCapabilities: ['kill', 'SETFCAP'] });
    expect(bounding).toContain('CAP_NET_ADMIN');
    expect(bounding).not.toContain('CAP_KILL');
    expect(bounding).toHaveLength(10);
  });

  it('are only those that are added when all are dropped', () => {
    expect(sets({ addCapabilities: ['KILL'], dropCapabilities: ['ALL'] }).bounding).toEqual(['CAP_KILL']);
    expect(sets({ dropCapabilities: ['all'] }).bounding).toEqual([]);
  });

  it('are all that this process has when all are added, but for those that are dropped', () => {
    const { bounding } = sets({ addCapabilities: ['ALL'], dropCapabilities: ['CHOWN'] });
    expect([...bounding].sort()).toEqual(FACTS.capabilities.filter((name) => name !== 'CAP_CHOWN').sort());
  });

  it('that are added by name are what another user than root has, and nothing else', () => {
    expect(sets({ addCapabilities: ['NET_ADMIN'] }, NOBODY)).toMatchObject({
      effective: ['CAP_NET_ADMIN'],
      permitted: ['CAP_NET_ADMIN'],
      ambient: ['CAP_NET_ADMIN'],
    });
    expect(sets({ addCapabilities: ['ALL'] }, NOBODY).effective).toEqual([]);
  });

  it.each(['FLY', 'SYS_TIME', ''])('cannot be added by the name %j', (name) => {
    expect(() => sets({ addCapabilities: [name] })).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
  });
});

it('a network of the host takes the network namespace away, and no other', () => {
  const types = bundleConfig(inputOf({ network: 'host' })).linux.namespaces.map(({ type }) => type);
  expect(types.sort()).toEqual(['cgroup', 'ipc', 'mount', 'pid', 'uts']);
});

it('a filter is handed over as it is, and besides as text where it has been made for the kernel', () => {
  const oci = { defaultAction: 'SCMP_ACT_ALLOW' };
  const { annotations, linux } = bundleConfig(inputOf({}, { seccomp: { oci, annotation: 'AQID/w==' } }));
  expect(annotations).toEqual({ 'run.oci.seccomp_bpf_data': 'AQID/w==' });
  expect(linux.seccomp).toEqual(oci);
  const plain = bundleConfig(inputOf({}, { seccomp: { oci } }));
  expect(plain.linux.seccomp).toEqual(oci);
  expect(plain.annotations?.['run.oci.seccomp_bpf_data']).toBeUndefined();
});

it('no limit of a process is written as the number that the kernel has for it', () => {
  const text = configText(bundleConfig(inputOf({ ulimits: { core: { soft: -1, hard: -1 } } })));
  expect(text).toContain('{"type":"RLIMIT_CORE","soft":18446744073709551615,"hard":18446744073709551615}');
});
