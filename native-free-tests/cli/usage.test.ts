import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { runInMemory } from './run-in-memory.js';

const COMMANDS = [
  'run',
  'create',
  'start',
  'restart',
  'exec',
  'attach',
  'wait',
  'stop',
  'kill',
  'pause',
  'unpause',
  'cp',
  'export',
  'spec',
  'update',
  'logs',
  'stats',
  'top',
  'leases',
  'pool',
  'events',
  'pull',
  'load',
  'images',
  'inspect',
  'tags',
  'tag',
  'rmi',
  'pin',
  'unpin',
  'provision',
  'fork',
  'destroy',
  'ps',
  'recover',
  'network',
  'port',
  'volume',
  'prune',
  'why',
  'check',
  'df',
  'info',
  'login',
  'logout',
];
const manual = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');

describe('wrong usage', () => {
  it.each([
    ['a prune of volumes', ['volume', 'prune'], "unknown command 'prune'", 'dangling=true'],
    ['an unknown command', ['pul', 'x'], "unknown command 'pul'", 'did you mean pull?'],
    ['an unknown option', ['pull', 'x', '--nam', 'y'], "unknown option '--nam'", 'did you mean --name?'],
    ['an unknown option before the command', ['--rot', 'x', 'images'], "unknown option '--rot'", '--root'],
    ['a missing argument', ['pull'], "missing required argument 'source'", 'provisioner pull --help'],
    ['a second argument that is missing', ['tag', 'a'], "missing required argument 'name'", 'provisioner tag --help'],
    ['a fork without an id of its own', ['fork', 'a'], "missing required argument 'new-id'", 'provisioner fork --help'],
    [
      'a fork that nobody would feed',
      ['fork', '-i', '--start', 'a', 'b'],
      '--interactive needs --attach',
      'nobody would',
    ],
    ['an argument too many', ['images', 'x'], 'too many arguments', 'provisioner images --help'],
    ['an option without its value', ['pull', 'x', '--name'], "option '--name <ref>' argument missing", '--help'],
    ['a backend that there is not', ['provision', 'a', 'b', '--backend', 'zfs'], "'zfs' is invalid", '--help'],
    ['a policy that there is not', ['provision', 'a', 'b', '--policy', 'often'], "'often' is invalid", '--help'],
    ['one name for two images', ['pull', 'a', 'b', '--name', 'c'], '--name is for one source', 'provisioner tag'],
    ['a plan without a dry run', ['prune', '--plan', 'x'], '--plan is for --dry-run', '--apply FILE'],
    [
      'a plan to apply and an exclusion',
      ['prune', '--apply', 'x', '--exclude', 'a'],
      '--apply goes with no other',
      'plan',
    ],
    ['a plan to apply and a size', ['prune', '--apply', 'x', '--keep', '1GB'], '--apply goes with no other', 'plan'],
    [
      'a plan to apply and an age',
      ['prune', '--apply', 'x', '--older-than', '1d'],
      '--apply goes with no other',
      'plan',
    ],
    ['a plan to apply in a dry run', ['prune', '--apply', 'x', '--dry-run'], '--apply goes with no other', 'plan'],
    ['a size that is none', ['prune', '--keep', '20 apples'], '--keep: not a size: "20 apples"', '20GB'],
    ['an age that is none', ['prune', '--older-than', '7'], '--older-than: not an age: "7"', '7d'],
    ['an argument that prune does not take', ['prune', 'app'], 'too many arguments', 'provisioner prune --help'],
    ['nothing to pin', ['pin'], "missing required argument 'image'", 'provisioner pin --help'],
    ['nothing to unpin', ['unpin'], "missing required argument 'image'", 'provisioner unpin --help'],
    ['two things to explain', ['why', 'a', 'b'], 'too many arguments', 'provisioner why --help'],
    ['a known container without its id', ['recover', '--known'], "option '--known <container-id>'", '--help'],
    ['two repositories', ['tags', 'a', 'b'], 'too many arguments', 'provisioner tags --help'],
    [
      'a number of tags that is none',
      ['tags', 'a', '--limit', '0'],
      '--limit: not a number from 1 to 999999999: "0"',
      '--limit 4',
    ],
    [
      'a platform of what is stored',
      ['inspect', 'a', '--platform', 'x'],
      '--platform is for --remote',
      'write --remote',
    ],
    ['TLS with what is stored', ['inspect', 'a', '--tls-verify', 'false'], '--tls-verify is for --remote', '--remote'],
    ['two raw documents', ['inspect', '--remote', '--raw', 'a', 'b'], '--raw is for one source', 'one by one'],
    ['a login with nobody to be asked', ['login', 'r.example'], 'standard input is no terminal', '--password-stdin'],
    ['a password without a name', ['login', '--password-stdin'], '--password-stdin needs --username', '-u NAME'],
    ['who is logged in, and a password', ['login', '--get-login', '-p', 'b'], '--get-login asks no registry', 'leave'],
    ['an empty option', ['pull', 'a', '--authfile', ''], '--authfile is empty', 'leave it out'],
    ['no downloads at all', ['pull', 'a', '--max-downloads', '0'], '--max-downloads: not a number from 1 to 64', '4'],
    ['two passwords', ['login', '-u', 'a', '-p', 'b', '--password-stdin'], 'does not go with --password', 'leave'],
    ['a logout from one and from all', ['logout', 'r.example', '--all'], '--all goes with no registry', 'leave one'],
    ['no image to run', ['run', '--rm'], "missing required argument 'image'", 'provisioner run --help'],
    ['no program to execute', ['exec', 'a'], "missing required argument 'command'", 'provisioner exec --help'],
    ['a port that is none', ['run', '-p', '80:', 'a'], '--publish: "80:" says nothing of ports', '-p 8080:80'],
    ['an option of run that is empty', ['run', '--user', '', 'a'], '--user is empty', 'leave it out'],
    ['nothing to update', ['update', 'a'], 'there is no limit to change', '--memory 512m'],
    [
      'a number of lines that is none',
      ['logs', 'a', '--tail', 'x'],
      '--tail: not a number of lines: "x"',
      '--tail 100',
    ],
    ['a time that is none', ['logs', 'a', '--since', 'then'], '--since: not an age: "then"', '30m'],
    ['a filter that is none', ['events', '--filter', 'x=y'], '--filter: not a filter of events', 'container, event'],
    ['a volume without a name', ['volume', 'create'], "missing required argument 'name'", 'provisioner volume --help'],
    [
      'a filter of volumes that is none',
      ['volume', 'ls', '-f', 'x=y'],
      '--filter: not a filter of volumes',
      'dangling',
    ],
    ['a label without a name', ['volume', 'create', 'a', '-l', '=b'], '--label: there is no name', 'NAME=VALUE'],
    ['a grace that is none', ['stop', 'a', '--time', 'soon'], '--time: not an age: "soon"', '30m'],
    ['a variable without a name', ['exec', '-e', '=x', 'a', 'b'], '--env: there is no name in "=x"', 'NAME=VALUE'],
    ['an empty root', ['images', '--root', ''], '--root is empty', '--root DIR'],
  ])('by %s ends with status 2, a cause and a hint on stderr, and nothing on stdout', async (_, args, cause, hint) => {
    const { status, stdout, stderr } = await runInMemory(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    const [first = '', second = '', ...rest] = stderr.split('\n');
    expect(first).toMatch(/^provisioner: /);
    expect(first).toContain(cause);
    expect(second).toMatch(/^hint: /);
    expect(second).toContain(hint);
    expect(rest).toEqual(['']);
  });

  it('is told as JSON where JSON is asked for, also by an option after the fault', async () => {
    const { status, stdout, stderr } = await runInMemory(['pull', '--nam', 'x', '--json']);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ERR_USAGE', message: "unknown option '--nam'" } });
  });

  it.each(['bar', 'plain'])(
    'by asking for JSON and for progress as %s is told as JSON, before a store is opened',
    async (how) => {
      const { status, stdout, stderr } = await runInMemory([
        'pull',
        'x',
        '--json',
        '--progress',
        how,
        '--root',
        '/dev/null/store',
      ]);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(JSON.parse(stderr)).toMatchObject({
        error: {
          code: 'ERR_USAGE',
          message: expect.stringContaining(`--progress ${how} does not go with --json`),
          hint: expect.stringContaining('--progress json'),
        },
      });
    },
  );

  it('by giving no command is told as JSON, too, where JSON is asked for', async () => {
    const { status, stdout, stderr } = await runInMemory(['--json']);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'ERR_USAGE', message: 'there is no command' } });
  });

  it('by giving no command shows the help on stderr', async () => {
    const { status, stdout, stderr } = await runInMemory([]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: provisioner [options] COMMAND');
  });

  it('by loading from a terminal is told before anybody waits for input', async () => {
    const { status, stderr } = await runInMemory(['load'], { stdinIsTerminal: true });
    expect(status).toBe(2);
    expect(stderr).toBe(
      'provisioner: there is no archive to load: standard input is a terminal\nhint: write -i FILE, or pipe an archive in\n',
    );
  });
});

describe('help', () => {
  it('names every command with a summary', async () => {
    const { status, stdout, stderr } = await runInMemory(['--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const command of COMMANDS) expect(stdout).toMatch(new RegExp(`^ {2}${command} +\\w+`, 'm'));
    const listed = stdout.slice(stdout.indexOf('Commands:'), stdout.indexOf('Examples:')).matchAll(/^ {2}(\w+) /gm);
    expect([...listed].map(([, command]) => command)).toEqual([...COMMANDS, 'help']);
  });

  it('names every exit status that the manual has', async () => {
    const rows = manual
      .slice(manual.indexOf('| exit status |'), manual.indexOf('### JSON'))
      .matchAll(/^\| ([\d, ]+?) +\|/gm);
    const documented = [...rows].flatMap(([, statuses = '']) => statuses.split(', '));
    expect(documented).toEqual(['0', '1', '2', '129', '130', '143']);
    const { stdout } = await runInMemory(['--help']);
    const told = stdout.slice(stdout.indexOf('Exit status:')).split('\n\n')[0] ?? '';
    expect(told.match(/\b\d+\b/g)).toEqual(documented);
  });

  it.each(COMMANDS)('of %s says what it does and which options all commands take', async (command) => {
    const { status, stdout, stderr } = await runInMemory([command, '--help']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(`Usage: provisioner ${command}`);
    expect(stdout).toContain('Global Options:');
    expect(stdout.split('\n')[2]).toMatch(/^[A-Z].{20,}/);
    expect(await runInMemory(['help', command])).toEqual({ status: 0, stdout, stderr: '' });
  });

  it('of a command comes also after its arguments', async () => {
    expect((await runInMemory(['pull', 'x', '--json', '--help'])).stdout).toContain('Usage: provisioner pull');
  });

  it.each(COMMANDS)('of %s shows the options that the manual explains, and no others', async (command) => {
    const shown = new Set<string>();
    for (const words of await partsOf(command)) {
      const { stdout } = await runInMemory([...words, '--help']);
      const own = stdout.slice(stdout.indexOf('Options:'), stdout.indexOf('Global Options:'));
      for (const option of optionNames(own)) if (option !== '--help') shown.add(option);
    }
    const section = manual.split(/^## /m).find((text) => text.startsWith(`\`${command}\``)) ?? '';
    const rows = section.split('\n').filter((line) => line.startsWith('| `-'));
    expect(optionNames(rows.join('\n')).sort()).toEqual([...shown].sort());
  });
});

/** A command, and those that it has itself. */
async function partsOf(command: string): Promise<string[][]> {
  const { stdout } = await runInMemory([command, '--help']);
  const [, list = ''] = /^Commands:\n((?: {2}.*\n)+)/m.exec(stdout) ?? [];
  const names = [...list.matchAll(/^ {2}(\w+)/gm)].map(([, name = '']) => name).filter((name) => name !== 'help');
  return [[command], ...names.map((name) => [command, name])];
}

/** A line of a description that begins with an option stands further in. */
function optionNames(text: string): string[] {
  return [
    ...new Set(text.split('\n').flatMap((line) => /^\W{0,5}(?:-\w[^-]*)?(--[a-z]+(?:-[a-z]+)*)/.exec(line)?.[1] ?? [])),
  ];
}

describe('the version', () => {
  it('is that of the package, alone on stdout', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string;
    };
    expect(await runInMemory(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
    expect(await runInMemory(['images', '--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
  });
});
