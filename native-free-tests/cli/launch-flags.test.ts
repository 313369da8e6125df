import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it, onTestFinished } from 'vitest';
import { addLaunchFlags, type LaunchFlags, launchOptions } from '#src/cli/running/flags/launch-flags.js';
import type { LaunchOptions } from '#src/containerizer/index.js';

const HERE = { HOME: '/root', EMPTY: '' };
const MIB = 2 ** 20;

/** @param words of the command line, those of the program behind `--` */
function parsed(words: readonly string[], environment: Readonly<Record<string, string>> = HERE): LaunchOptions {
  const command = new Command('run')
    .argument('[command...]')
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  addLaunchFlags(command);
  command.parse([...words], { from: 'user' });
  return launchOptions(command.opts<LaunchFlags>(), command.args, environment);
}

/** A path of the test's own, where nothing is. */
function freePath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'launch-flags-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'env');
}

function fileOf(text: string): string {
  const file = freePath();
  writeFileSync(file, text);
  return file;
}

const refusal = (message: string, hint: string) =>
  expect.objectContaining({
    name: 'UsageError',
    message: expect.stringContaining(message),
    hint: expect.stringContaining(hint),
  });

describe('options of a launch', () => {
  it('say nothing where none is given', () => {
    const given = Object.entries(parsed([])).filter(([, value]) => value !== undefined);
    expect(Object.fromEntries(given)).toEqual({
      env: {},
      mounts: [],
      secrets: {},
      limits: {},
      addCapabilities: [],
      dropCapabilities: [],
      devices: [],
      cdiDevices: [],
      ports: [],
      networkAliases: [],
      ulimits: {},
      addHosts: {},
      dns: [],
      labels: {},
      log: {},
    });
  });

  const bind = { type: 'bind', source: '/s', target: '/t', readOnly: false } as const;
  it.each<[string, string[], LaunchOptions]>([
    ['the command', ['--', 'ls', '-l'], { command: ['ls', '-l'] }],
    ['--rm', ['--rm'], { remove: true }],
    ['-e', ['-e', 'A=b=c', '--env', 'B='], { env: { A: 'b=c', B: '' } }],
    ['-e without a value', ['-e', 'HOME', '-e', 'EMPTY', '-e', 'NOT_HERE'], { env: { HOME: '/root', EMPTY: '' } }],
    ['the last of two -e', ['-e', 'A=1', '-e', 'A=2'], { env: { A: '2' } }],
    ['-w', ['-w', '/app'], { workingDir: '/app' }],
    ['-u', ['-u', '1000:staff'], { user: '1000:staff' }],
    ['--hostname', ['--hostname', 'box'], { hostname: 'box' }],
    ['-v', ['-v', '/s:/t'], { mounts: [bind] }],
    ['-v that is not written', ['-v', '/s:/t:ro'], { mounts: [{ ...bind, readOnly: true }] }],
    ['-v without programs', ['-v', '/s:/t:rw,noexec'], { mounts: [{ ...bind, exec: false }] }],
    ['-v of a volume', ['-v', 'data:/t'], { mounts: [{ ...bind, type: 'volume', source: 'data' }] }],
    [
      '-v of a volume that is not written',
      ['-v', 'da.ta-1:/t:ro,noexec'],
      { mounts: [{ type: 'volume', source: 'da.ta-1', target: '/t', readOnly: true, exec: false }] },
    ],
    ['-v without a name', ['-v', '/t'], { mounts: [{ type: 'volume', target: '/t', readOnly: false }] }],
    [
      '--mount of a volume',
      ['--mount', 'type=volume,source=data,target=/t,readonly'],
      { mounts: [{ type: 'volume', source: 'data', target: '/t', readOnly: true }] },
    ],
    [
      '--mount of a volume without a name',
      ['--mount', 'type=volume,dst=/t'],
      { mounts: [{ type: 'volume', target: '/t', readOnly: false }] },
    ],
    ['--mount', ['--mount', 'type=bind,src=/s,dst=/t,ro'], { mounts: [{ ...bind, readOnly: true }] }],
    ['--mount that is a bind', ['--mount', 'source=/s,target=/t,readonly=false'], { mounts: [bind] }],
    [
      '--mount of memory',
      ['--mount', 'type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=0755'],
      { mounts: [{ type: 'tmpfs', target: '/t', readOnly: false, sizeBytes: MIB, mode: 0o755 }] },
    ],
    ['--tmpfs', ['--tmpfs', '/t'], { mounts: [{ type: 'tmpfs', target: '/t' }] }],
    ['--tmpfs and no options', ['--tmpfs', '/t:'], { mounts: [{ type: 'tmpfs', target: '/t' }] }],
    [
      '--tmpfs and options',
      ['--tmpfs', '/t:size=64m,mode=1777,exec,ro,nosuid'],
      { mounts: [{ type: 'tmpfs', target: '/t', sizeBytes: 64 * MIB, mode: 0o1777, exec: true, readOnly: true }] },
    ],
    [
      '--secret',
      ['--secret', 'key=/k', '--secret', 'a=b=/c'],
      { secrets: { key: '/k', a: join(process.cwd(), 'b=/c') } },
    ],
    ['--read-only', ['--read-only'], { readOnly: true }],
    ['--entrypoint', ['--entrypoint', '/init'], { entrypoint: ['/init'] }],
    ['an empty --entrypoint', ['--entrypoint', ''], { entrypoint: [] }],
    ['-m', ['-m', '512m'], { limits: { memoryBytes: 512 * MIB } }],
    ['a size without a unit', ['--memory', '6291456'], { limits: { memoryBytes: 6 * MIB } }],
    ['a size with a long unit', ['--memory', '1.5GiB'], { limits: { memoryBytes: 1536 * MIB } }],
    ['--memory-swap', ['--memory-swap', '1G'], { limits: { memorySwapBytes: 1024 * MIB } }],
    ['--memory-swap without a limit', ['--memory-swap', '-1'], { limits: { memorySwapBytes: -1 } }],
    ['--cpus', ['--cpus', '1.5'], { limits: { cpus: 1.5 } }],
    ['--cpuset-cpus', ['--cpuset-cpus', '0-2,7'], { limits: { cpuset: '0-2,7' } }],
    ['--pids-limit', ['--pids-limit', '256'], { limits: { pids: 256 } }],
    ['--pids-limit without a limit', ['--pids-limit', '-1'], { limits: { pids: -1 } }],
    ['--ulimit', ['--ulimit', 'nofile=1:2'], { ulimits: { nofile: { soft: 1, hard: 2 } } }],
    ['--ulimit of one', ['--ulimit', 'core=unlimited'], { ulimits: { core: { soft: -1, hard: -1 } } }],
    ['--cap-add', ['--cap-add', 'NET_ADMIN', '--cap-add', 'SYS_TIME'], { addCapabilities: ['NET_ADMIN', 'SYS_TIME'] }],
    ['--cap-drop', ['--cap-drop', 'ALL'], { dropCapabilities: ['ALL'] }],
    ['new privileges', ['--security-opt', 'no-new-privileges=false'], { noNewPrivileges: false }],
    ['no new privileges', ['--security-opt', 'no-new-privileges'], { noNewPrivileges: true }],
    ['a profile', ['--security-opt', 'seccomp=/a=b.json'], { seccomp: '/a=b.json' }],
    ['no profile', ['--security-opt', 'seccomp:unconfined'], { seccomp: 'unconfined' }],
    ['--network', ['--network', 'host'], { network: 'host' }],
    ['a network by name', ['--network', 'build'], { network: 'build' }],
    [
      '--publish',
      ['-p', '8080:80', '-p', '127.0.0.1:53:5353/udp', '-p', '90'],
      {
        network: 'bridge',
        ports: [
          { containerPort: 80, hostPort: 8080, protocol: 'tcp' },
          { containerPort: 5353, hostPort: 53, hostAddress: '127.0.0.1', protocol: 'udp' },
          { containerPort: 90, protocol: 'tcp' },
        ],
      },
    ],
    [
      '--publish with a range',
      ['--network', 'internal', '-p', '8000-8001:80-81'],
      {
        network: 'internal',
        ports: [
          { containerPort: 80, hostPort: 8000 },
          { containerPort: 81, hostPort: 8001 },
        ],
      },
    ],
    ['--network-alias', ['--network-alias', 'db', '--network-alias', 'sql'], { networkAliases: ['db', 'sql'] }],
    ['--ip', ['--ip', '10.9.0.7'], { address: '10.9.0.7' }],
    [
      '--add-host',
      ['--add-host', 'db:10.0.0.1', '--add-host', 'six:[::1]'],
      { addHosts: { db: '10.0.0.1', six: '::1' } },
    ],
    ['--dns', ['--dns', '1.1.1.1', '--dns', '9.9.9.9'], { dns: ['1.1.1.1', '9.9.9.9'] }],
    ['--init', ['--init'], { init: true }],
    ['--stop-signal', ['--stop-signal', 'INT'], { stopSignal: 'INT' }],
    ['--timeout', ['--timeout', '10m'], { timeout: 600_000 }],
    ['--timeout in seconds', ['--timeout', '1.5'], { timeout: 1500 }],
    ['--label', ['--label', 'a=b=c', '--label', 'd'], { labels: { a: 'b=c', d: '' } }],
    [
      '--log-opt',
      ['--log-opt', 'max-size=1m', '--log-opt', 'when-full=end'],
      { log: { maxBytes: MIB, whenFull: 'end' } },
    ],
    ['a log without a limit', ['--log-opt', 'max-size=-1'], { log: { maxBytes: 0 } }],
  ])('have %s', (_, words, expected) => {
    expect(parsed(words)).toMatchObject(expected);
  });

  it('have the variables of files, and those of the command line instead of them', () => {
    const file = fileOf('# none\n\nA=1\r\n  B=two words \nHOME\nNOT_HERE\nC=x#y\n');
    expect(parsed(['--env-file', file, '-e', 'A=2']).env).toEqual({ A: '2', B: 'two words ', HOME: '/root', C: 'x#y' });
  });

  it.each<[string, string[], string, string]>([
    ['a variable without a name', ['-e', '=x'], '--env: there is no name in "=x"', '--env NAME=VALUE'],
    ['a relative path of a volume', ['-v', './data:/t'], '--volume: not a source and a target: "./data:/t"', 'NAME:'],
    ['a relative path in a volume', ['-v', 'data/x:/t'], '--volume: not a source and a target', 'NAME:'],
    ['a volume without a target', ['-v', 'data'], '--volume: not a source and a target: "data"', '/in/the/container'],
    ['a volume in four parts', ['-v', '/s:/t:ro:z'], '--volume: not a source', ':ro'],
    ['an unknown word of a volume', ['-v', '/s:/t:q'], '--volume: unknown option "q"', 'there are: ro'],
    [
      'an unknown word of a mount',
      ['--mount', 'target=/t,bind-propagation=shared'],
      'unknown word "bind-propag',
      'there are: type',
    ],
    ['an unknown kind of mount', ['--mount', 'type=image,target=/t'], '--mount: not a mount', 'type=bind'],
    ['a mount of no type with a name', ['--mount', 'source=q,target=/t'], '--mount: "q" is no path', 'type=volume'],
    [
      'a mount of a volume with a path',
      ['--mount', 'type=volume,source=/s,target=/t'],
      '--mount: "/s" is no name of a volume',
      'type=bind',
    ],
    ['a mount without a target', ['--mount', 'type=tmpfs'], '--mount: not a mount: "type=tmpfs"', 'target='],
    ['an unknown option of a tmpfs', ['--tmpfs', '/t:uid=1'], '--tmpfs: unknown option "uid"', 'there are: size'],
    ['a mode that is none', ['--tmpfs', '/t:mode=rwx'], '--tmpfs: not a mode: "rwx"', 'octal'],
    ['memory that is none', ['-m', 'much'], '--memory: not a size: "much"', '512m'],
    ['negative memory', ['-m', '-5m'], '--memory: not a size: "-5m"', '512m'],
    ['processors that are none', ['--cpus', 'two'], '--cpus: not a number: "two"', '1.5'],
    ['processes that are none', ['--pids-limit', '1e3'], '--pids-limit: not a number: "1e3"', '4096'],
    ['a ulimit without a value', ['--ulimit', 'nofile'], '--ulimit: not a number: ""', 'nofile=1024'],
    ['a port that is too large', ['-p', '80:65536'], '--publish: "80:65536"', '-p 8080:80'],
    ['ranges of different length', ['-p', '80-82:80-81'], '--publish: "80-82:80-81"', '-p 8080:80'],
    ['a protocol that is none', ['-p', '80/icmp'], '--publish: "80/icmp"', '-p 8080:80'],
    ['a port at a name', ['-p', 'localhost:80:80'], '--publish: "localhost:80:80"', '127.0.0.1'],
    ['a host without an address', ['--add-host', 'db'], '--add-host: not a name and an address: "db"', 'NAME:ADDRESS'],
    [
      'a word of security',
      ['--security-opt', 'label=disable'],
      '--security-opt: unknown word "label=disable"',
      'seccomp=FILE',
    ],
    [
      'new privileges, perhaps',
      ['--security-opt', 'no-new-privileges=no'],
      '--security-opt: unknown word',
      'no-new-privileges=false',
    ],
    ['a time that is none', ['--timeout', 'soon'], '--timeout: not an age: "soon"', '30m'],
    ['a label without a name', ['--label', '=x'], '--label: there is no name in "=x"', '--label NAME=VALUE'],
    ['a word of the log', ['--log-opt', 'max-file=3'], '--log-opt: unknown word "max-file=3"', 'max-size=SIZE'],
    ['a size of the log that is none', ['--log-opt', 'max-size=x'], '--log-opt max-size: not a size: "x"', '512m'],
  ])('refuse %s with a cause and a hint', (_, words, message, hint) => {
    expect(() => parsed(words)).toThrow(refusal(message, hint));
  });

  it('refuse a file that is not there with a cause and a hint', () => {
    const file = freePath();
    expect(() => parsed(['--env-file', file])).toThrow(refusal(`${file} cannot be read: ENOENT`, 'NAME=VALUE'));
  });
});
