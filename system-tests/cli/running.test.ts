import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { expectNothingLeft, IMAGE, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { APP_V1, type CliOptions, MAIN, newStore } from './run-cli.js';

/** Nobody's; not root's. */
const USER = 65534;

/** Runs a command where no runtime can be executed. */
const HIDE_RUNTIMES = [
  'unshare',
  '-m',
  'sh',
  '-c',
  'for name in crun runc; do path=$(command -v $name) && mount --bind /dev/null "$path"; done; exec "$@"',
  'sh',
];

/** The command line beside a process that has the same store open. */
async function commandLine() {
  const { root, containers } = await storeWithBusybox();
  const { start } = newStore();
  const run = (args: readonly string[], options: CliOptions = {}) => start(['--root', root, ...args], options).done;
  const json = async (...args: string[]) => JSON.parse((await run([...args, '--json'])).stdout);
  return { root, containers, run, json, start };
}

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'provisioner run', () => {
  it('prints what the program prints, each stream by itself, ends with its code, and leaves nothing with --rm', async () => {
    const { run, root } = await commandLine();
    const ended = await run([
      'run',
      '--rm',
      IMAGE,
      'sh',
      '-c',
      'echo out; echo err >&2; printf tail; exit 7',
      'sh',
      '-x',
      '--json',
    ]);
    expect(ended).toEqual({ status: 7, stdout: 'out\ntail', stderr: 'err\n' });
    await expectNothingLeft(root);
  });

  it('reads with -i what comes to it', async () => {
    const { run } = await commandLine();
    expect(await run(['run', '--rm', '-i', IMAGE, 'wc', '-c'], { input: 'x'.repeat(200_000) })).toMatchObject({
      status: 0,
      stdout: '200000\n',
    });
  });

  it.each([
    [['nothing-like-it'], 127, 'there is no program "nothing-like-it"'],
    [['/etc/passwd'], 126, 'cannot be executed'],
    [['-u', 'nobody-knows', 'true'], 125, 'nobody-knows'],
  ])('of %j ends with %i, one line that says why, and nothing left', async (words, status, message) => {
    const { run, root } = await commandLine();
    const options = words.length > 1 ? words.slice(0, -1) : [];
    const ended = await run(['run', ...options, IMAGE, ...words.slice(options.length)]);
    expect(ended).toMatchObject({ status, stdout: '', stderr: expect.stringContaining(message) });
    expect(ended.stderr.split('\n').length).toBeLessThanOrEqual(3);
    await expectNothingLeft(root);
  });

  it('prints all of it, however fast and how much that is', async () => {
    const { run } = await commandLine();
    // More than is kept of what nobody reads along: with its times, each line of the log has some 50 bytes.
    const { status, stdout } = await run(['run', '--rm', IMAGE, 'seq', '1', '1600000']);
    expect(status).toBe(0);
    expect(stdout.length).toBe(11_688_896);
    expect(stdout.endsWith('1599999\n1600000\n')).toBe(true);
  });

  it.each(['SIGUSR1', 'SIGUSR2', 'SIGQUIT'] as const)(
    'hands %s on to the program, which may live on',
    async (signal) => {
      const { start, root } = await commandLine();
      const script = `trap "echo got" ${signal.slice(3)}; trap "echo bye; exit 3" INT; echo ready >&2; while :; do sleep 0.05; done`;
      const running = start(['--root', root, 'run', '--rm', IMAGE, 'sh', '-c', script]);
      let printed = '';
      running.process.stdout.on('data', (text) => {
        printed += text;
      });
      await running.says('ready');
      running.process.kill(signal);
      await vi.waitFor(() => expect(printed).toBe('got\n'), { timeout: 5000 });
      running.process.kill('SIGINT');
      expect(await running.done).toMatchObject({ status: 3, stdout: 'got\nbye\n' });
      expect((await running.done).stderr).not.toContain('Debugger');
    },
  );

  it.each([
    ['run', IMAGE],
    ['create', IMAGE],
    ['exec', 'job', 'true'],
    ['start', '-a', 'job'],
  ])('is told from a status of its program by 125 where the store cannot be opened: %s', async (...words) => {
    const { start } = await commandLine();
    expect(await start(['--root', '/proc/self', ...words]).done).toMatchObject({ status: 125, stdout: '' });
  });

  it('that cannot be printed ends with 1, and with 141 where nobody reads', async () => {
    const { root } = await commandLine();
    const command = `${process.execPath} ${MAIN} --root ${root} run --rm ${IMAGE} seq 1 200000`;
    const status = (to: string) => spawnSync('bash', ['-c', `${command} ${to}; exit \${PIPESTATUS[0]}`]);
    expect(status('> /dev/full')).toMatchObject({ status: 1 });
    expect(status('| head -n 1')).toMatchObject({ status: 141 });
  });

  it('has no limit of time where that is 0', async () => {
    const { run } = await commandLine();
    expect(await run(['run', '--rm', '--timeout', '0', IMAGE, 'sh', '-c', 'sleep 0.3; exit 4'])).toMatchObject({
      status: 4,
    });
  });

  it('gives the first interruption to the program', async () => {
    const { start, root } = await commandLine();
    const running = start([
      '--root',
      root,
      'run',
      '--rm',
      IMAGE,
      'sh',
      '-c',
      'trap "echo bye; exit 3" INT; echo ready >&2; while :; do sleep 0.05; done',
    ]);
    await running.says('ready');
    running.process.kill('SIGINT');
    expect(await running.done).toMatchObject({ status: 3, stdout: 'bye\n' });
    await expectNothingLeft(root);
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a container that was run with -d', () => {
  it('is seen, read, entered, halted, stopped and destroyed from the command line', async () => {
    const { run, json, root } = await commandLine();
    const script = 'trap "exit 4" TERM; echo ready; while :; do sleep 0.05; done';
    expect(
      await run(['run', '-d', '--name', 'job', '-e', 'A=b', '--memory', '64m', IMAGE, 'sh', '-c', script]),
    ).toEqual({
      status: 0,
      stdout: 'job\n',
      stderr: '',
    });
    expect(await json('ps')).toMatchObject([{ id: 'job', launch: { state: 'running', exit: null, relaxed: [] } }]);
    expect((await run(['exec', '-w', '/tmp', 'job', 'sh', '-c', 'pwd; echo $A; exit 9'])).stdout).toBe('/tmp\nb\n');
    expect(await json('stats', 'job')).toMatchObject([{ id: 'job', memoryLimit: 64 * 2 ** 20, oomKills: 0 }]);
    expect((await run(['pause', 'job'])).stdout).toBe('job\n');
    expect(await json('ps')).toMatchObject([{ launch: { state: 'paused' } }]);
    expect((await run(['unpause', 'job'])).stdout).toBe('job\n');
    expect((await run(['update', '--pids-limit', '100', 'job'])).stdout).toBe('job\n');
    expect(await json('stats', 'job')).toMatchObject([{ processLimit: 100 }]);
    expect(await run(['destroy', 'job'])).toMatchObject({ status: 1, stderr: expect.stringContaining('--force') });
    expect(await json('stop', 'job')).toMatchObject([{ id: 'job', exit: { code: 4, reason: 'exited' } }]);
    expect((await run(['wait', 'job'])).stdout).toBe('4\n');
    expect((await run(['logs', '--tail', '1', 'job'])).stdout).toBe('ready\n');
    expect(await run(['exec', 'job', 'true'])).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('does not run'),
    });
    expect((await run(['destroy', 'job'])).stdout).toBe('job\n');
    await expectNothingLeft(root);
  });

  it('is seen by events from its beginning to its end, which nobody else looks for, and with its processes by top', async () => {
    const { run, json, start, root } = await commandLine();
    const first = start([
      ...['--root', root, 'events', '--json'],
      ...['--filter', 'container=early', '--filter', 'container=job'],
    ]);
    let told = '';
    const eventsOf = (id: string) =>
      told
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line))
        .filter((event) => event.id === id);
    const has = (kind: string) =>
      vi.waitFor(() => expect(eventsOf('job').map(({ event }) => event)).toContain(kind), { timeout: 15_000 });
    first.process.stdout.on('data', (text) => {
      told += text;
    });
    // What happened before it listens is no part of what it tells.
    await vi.waitFor(
      async () => {
        await run(['run', '--rm', '--name', 'early', IMAGE, 'true']);
        expect(eventsOf('early')).not.toEqual([]);
      },
      { timeout: 15_000 },
    );
    await run(['run', '-d', '--name', 'job', '--label', 'a=b', IMAGE, 'sh', '-c', 'sleep 0.5; exit 6']);
    await has('exit');
    expect(eventsOf('job').map(({ event }) => event)).toEqual(['create', 'start', 'exit']);
    expect(eventsOf('job')[2]).toMatchObject({
      id: 'job',
      image: IMAGE,
      labels: { a: 'b' },
      details: { code: 6, reason: 'exited' },
    });
    first.process.kill('SIGINT');
    expect((await first.done).status).toBe(130);
    const { stdout } = await run(['events', '--no-stream', '--filter', 'label=a', '--filter', 'event=exit']);
    expect(stdout).toMatch(/^\S+Z exit job \(image=busybox:1, code=6, reason=exited\)\n$/);
    expect(await run(['top', 'job'])).toMatchObject({ status: 1, stderr: expect.stringContaining('does not run') });
    await run(['run', '-d', '--name', 'long', IMAGE, 'sleep', '60']);
    expect((await run(['top', 'long'])).stdout).toMatch(/\n\d+ +1 +root +S .* sleep 60\n$/);
    expect(await json('top', 'long')).toMatchObject([{ pidInside: 1, user: 'root', command: ['sleep', '60'] }]);
    const reading = start(['--root', root, 'events', '--since', '1h']);
    reading.process.stdout.destroy();
    expect((await reading.done).status).toBe(141);
  });

  it('has its missing network told where a name was not resolved, and nowhere else', async () => {
    const { run } = await commandLine();
    const hint =
      'hint: names are not resolved: the container has no network; try --network bridge, or --network host\n';
    const script = (code: number) => ['sh', '-c', `echo "wget: bad address 'example.com'" >&2; exit ${code}`];
    const said = "wget: bad address 'example.com'\n";
    expect(await run(['run', '--rm', IMAGE, ...script(1)])).toEqual({ status: 1, stdout: '', stderr: said + hint });
    for (const words of [
      ['run', '--rm', IMAGE, ...script(0)],
      ['--quiet', 'run', '--rm', IMAGE, ...script(1)],
      ['run', '--rm', '--network', 'host', IMAGE, ...script(1)],
    ]) {
      expect((await run(words)).stderr, words.join(' ')).toBe(said);
    }
    await run(['run', '-d', '--name', 'job', IMAGE, 'sleep', '60']);
    await run(['run', '-d', '--name', 'open', '--network', 'host', IMAGE, 'sleep', '60']);
    expect((await run(['exec', 'job', ...script(2)])).stderr).toBe(said + hint);
    expect((await run(['exec', 'open', ...script(2)])).stderr).toBe(said);
  });

  it('is followed to its end by logs, which a reader that has seen enough ends alone', async () => {
    const { run, start, containers, root } = await commandLine();
    await run(['run', '-d', '--name', 'job', IMAGE, 'sh', '-c', 'for i in 1 2 3; do echo $i; sleep 0.1; done']);
    expect((await run(['logs', '-f', 'job'])).stdout).toBe('1\n2\n3\n');
    await containers.destroy('job');
    await run(['run', '-d', '--name', 'talks', IMAGE, 'yes']);
    const reading = start(['--root', root, 'logs', '-f', 'talks']);
    reading.process.stdout.destroy();
    expect((await reading.done).status).toBe(141);
    expect(await containers.get('talks')).toMatchObject({ state: 'running' });
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'a machine whose runtime is gone', () => {
  it('says so when something is to be started, and shows, halts, stops and waits for what was started before', async () => {
    const { run, json, containers } = await commandLine();
    await run(['run', '-d', '--name', 'job', IMAGE, 'sleep', '60']);
    const hidden = (...args: string[]) => run(args, { within: HIDE_RUNTIMES });
    expect(await hidden('run', IMAGE, 'true')).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/neither crun nor runc is installed here.*apt-get install crun/s),
    });
    expect((await hidden('exec', 'job', 'true')).status).toBe(125);
    expect(await json('ps')).toMatchObject([{ id: 'job', launch: { state: 'running' } }]);
    expect((await hidden('ps', '--running')).stdout).toContain('job');
    expect((await hidden('pause', 'job')).status).toBe(0);
    expect((await hidden('unpause', 'job')).status).toBe(0);
    expect((await hidden('stop', '-t', '0', 'job')).status).toBe(0);
    expect((await hidden('wait', 'job')).stdout).toBe('137\n');
    expect(await containers.get('job')).toMatchObject({ state: 'exited', exit: { signal: 9 } });
  });
});

describeWith(['root'], 'provisioner recover of a user who cannot run containers', () => {
  it('tells what it leaves of launches, and puts the rest right', async () => {
    const { root, run } = newStore();
    chmodSync(dirname(root), 0o755);
    mkdirSync(root);
    chownSync(root, USER, USER);
    expect((await run(['pull', APP_V1], { uid: USER })).status).toBe(0);
    const place = join(root, 'launches', 'ab'.repeat(16));
    mkdirSync(place, { recursive: true });
    for (const path of [dirname(place), place]) chownSync(path, USER, USER);
    const [layer = ''] = readdirSync(join(root, 'layers'));
    rmSync(join(root, 'layers', layer), { recursive: true });
    const { status, stdout, stderr } = await run(['recover'], { uid: USER });
    expect({ status, stdout }).toMatchObject({ status: 1, stdout: expect.stringContaining('forgot layer') });
    expect(stderr).toMatch(/containers can be run by root only.*hint: /s);
    expect(existsSync(place)).toBe(true);
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'provisioner recover', () => {
  it('tells of what ran and ended while nobody looked, and keeps what runs though it is not named', async () => {
    const { run, json, containers, root } = await commandLine();
    await run(['run', '-d', '--name', 'ends', IMAGE, 'true']);
    await run(['run', '-d', '--name', 'goes', '--rm', IMAGE, 'sleep', '60']);
    await expect.poll(async () => (await containers.get('goes'))?.state).toBe('running');
    const report = await json('recover', '--destroy-unknown');
    expect(report).toMatchObject({
      failed: [],
      launches: { running: ['goes'], lost: [], undone: [], swept: expect.any(Array) },
    });
    expect(await json('ps')).toMatchObject([{ id: 'goes' }]);
    expect((await run(['destroy', '-f', 'goes'])).status).toBe(0);
    await expectNothingLeft(root);
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'provisioner exec', () => {
  const TRAPS = ['INT', 'TERM', 'HUP', 'USR1', 'USR2', 'QUIT'];

  /** A program more that says what it is told, and that it is ready on stderr. */
  async function executing(script: string) {
    const { start, root, containers } = await commandLine();
    await containers.launch('job', IMAGE, { command: ['sleep', '60'] });
    const running = start([
      '--root',
      root,
      'exec',
      'job',
      'sh',
      '-c',
      `${script}; echo ready >&2; while :; do sleep 0.05; done`,
    ]);
    let printed = '';
    running.process.stdout.on('data', (text) => {
      printed += text;
    });
    await running.says('ready');
    const commands = async () => (await containers.processes('job')).map(({ name }) => name);
    return { running, commands, printed: () => printed };
  }

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'gives the first %s to its program, which may take its time',
    async (signal) => {
      const { running, commands } = await executing(`trap "sleep 0.5; echo bye; exit 3" ${signal.slice(3)}`);
      running.process.kill(signal);
      expect(await running.done).toMatchObject({ status: 3, stdout: 'bye\n' });
      expect(await commands()).toEqual(['sleep']);
    },
  );

  it('gives its program the signals that say nothing to itself, each time', async () => {
    const { running, printed } = await executing(TRAPS.map((name) => `trap "echo ${name}" ${name}`).join('; '));
    let expected = '';
    for (const name of ['USR1', 'USR2', 'QUIT', 'USR1', 'INT', 'USR1']) {
      running.process.kill(`SIG${name}` as NodeJS.Signals);
      expected += `${name}\n`;
      await vi.waitFor(() => expect(printed()).toBe(expected), { timeout: 5000 });
    }
  });

  it('ends with its program at the second interruption', async () => {
    const { running, commands, printed } = await executing('trap "echo no" INT TERM');
    running.process.kill('SIGINT');
    await vi.waitFor(() => expect(printed()).toBe('no\n'), { timeout: 5000 });
    running.process.kill('SIGINT');
    expect((await running.done).status).toBe(130);
    await vi.waitFor(async () => expect(await commands()).toEqual(['sleep']), { timeout: 1000 });
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'several containers', () => {
  const STUBBORN = { command: ['sh', '-c', 'trap "" TERM; while :; do sleep 0.05; done'] };

  it('are stopped at once, each with a time of its own, and told in their order', async () => {
    const { run, containers, root } = await commandLine();
    for (const id of ['a', 'b', 'c', 'd']) await containers.launch(id, IMAGE, STUBBORN);
    await containers.launch('quick', IMAGE, { command: ['sleep', '60'] });
    const begun = performance.now();
    const { status, stdout, stderr } = await run(['stop', '-t', '2', 'd', 'nobody', 'c', 'b', 'quick', 'a']);
    expect(performance.now() - begun).toBeLessThan(6000);
    expect({ status, stdout }).toEqual({ status: 1, stdout: 'd\nc\nb\nquick\na\n' });
    expect(stderr).toContain('nobody');
    expect(await containers.list()).toMatchObject(Array(5).fill({ state: 'exited' }));
    for (const { containerId } of await containers.list()) await containers.destroy(containerId);
    await expectNothingLeft(root);
  });

  it('are waited for at once, so that the end of one that goes with it is told however late its turn comes', async () => {
    const { start, root, containers } = await commandLine();
    await containers.launch('late', IMAGE, { command: ['sh', '-c', 'sleep 2; exit 3'] });
    await containers.launch('early', IMAGE, { command: ['sh', '-c', 'sleep 1; exit 4'], remove: true });
    expect(await start(['--root', root, 'wait', 'late', 'early']).done).toEqual({
      status: 0,
      stdout: '3\n4\n',
      stderr: '',
    });
    await containers.destroy('late');
    await expectNothingLeft(root);
  });

  it('of which one is within another are ended in the order in which they are named', async () => {
    const { run, containers, root } = await commandLine();
    await containers.launch('pod', IMAGE, { command: ['sleep', '60'], remove: true });
    await containers.launch('pod/job', IMAGE, { ...STUBBORN, remove: true });
    expect(await run(['stop', '-t', '1', 'pod/job', 'pod'])).toEqual({
      status: 0,
      stdout: 'pod/job\npod\n',
      stderr: '',
    });
    await expectNothingLeft(root);
  });
});

describeWith(['root', 'overlay', 'cgroups', 'crun', 'busybox'], 'provisioner create, start and restart', () => {
  it('make a container that waits, let it go and end as it does, and start it again', async () => {
    const { run, json, root } = await commandLine();
    const script = 'echo "run $(cat /n)" 2>&1; echo again > /n; exit 3';
    expect(await run(['create', '--name', 'job', '-e', 'A=b', IMAGE, 'sh', '-c', script])).toEqual({
      status: 0,
      stdout: 'job\n',
      stderr: '',
    });
    expect((await run(['ps'])).stdout).toMatch(/^job .* created /m);
    expect(await run(['kill', 'job'])).toMatchObject({ status: 1, stderr: expect.stringContaining('it is created') });
    expect(await run(['start', '-a', 'job'])).toMatchObject({ status: 3 });
    expect(await run(['start', '-a', 'job'])).toEqual({ status: 3, stdout: 'run again\n', stderr: '' });
    expect(await json('restart', 'job')).toMatchObject([{ id: 'job' }]);
    expect(await run(['wait', 'job'])).toMatchObject({ stdout: '3\n' });
    expect((await run(['logs', 'job'])).stdout.match(/^run again$/gm)).toHaveLength(2);
    expect(await run(['start', 'nobody', 'job'])).toMatchObject({ status: 1, stdout: 'job\n' });
    await run(['destroy', '-f', 'job']);
    await expectNothingLeft(root);
  });

  it('feed what is started again what comes to them', async () => {
    const { run } = await commandLine();
    await run(['run', '--name', 'job', IMAGE, 'wc', '-c']);
    expect(await run(['start', '-ai', 'job'], { input: 'x'.repeat(70_000) })).toMatchObject({ stdout: '70000\n' });
  });

  it('say what is wrong, and leave a container whose start has failed', async () => {
    const { run, root } = await commandLine();
    expect(await run(['create', '--name', 'none', IMAGE, 'nothing-like-it'])).toMatchObject({ status: 127 });
    expect(await run(['start', '-i', 'job'])).toMatchObject({ status: 2 });
    expect(await run(['start', '-a', 'job', 'other'])).toMatchObject({ status: 2 });
    await run(['run', '--name', 'job', IMAGE, 'rm', '/bin/rm']);
    expect(await run(['start', '-a', 'job'])).toMatchObject({ status: 127, stdout: '' });
    expect((await run(['ps'])).stdout).toMatch(/^job .* exited \(start-failed\) /m);
    expect(await run(['destroy', 'job'])).toMatchObject({ status: 0 });
    await expectNothingLeft(root);
  });
});

describeWith(['root', 'overlay', 'runc', 'busybox'], 'provisioner spec', () => {
  it('prints what another tool runs the same program with, and leaves the container to be destroyed', async () => {
    const { run, root } = await commandLine();
    const script = 'echo "$A $HOSTNAME"; grep Seccomp: /proc/self/status; touch /x || exit 5';
    const bundle = mkdtempSync(join(root, '..', 'bundle-'));
    const spec = await run(['spec', '-e', 'A=b', '--read-only', 'job', IMAGE, 'sh', '-c', script]);
    expect(spec).toMatchObject({ status: 0, stderr: '' });
    writeFileSync(join(bundle, 'config.json'), spec.stdout);
    const ran = spawnSync('runc', ['run', '--bundle', bundle, `other-${process.pid}`], { encoding: 'utf8', input: '' });
    expect(ran).toMatchObject({ status: 5, stdout: 'b job\nSeccomp:\t2\n' });
    // The same container, told something else.
    expect(await run(['spec', 'job', IMAGE, 'true'])).toMatchObject({ status: 0 });
    expect((await run(['ps'])).stdout).toMatch(/^job .* provisioned /m);
    expect(await run(['--root', root, 'spec', '--owner', 'stranger', 'job', IMAGE])).toMatchObject({ status: 1 });
    await run(['destroy', 'job']);
    await expectNothingLeft(root);
  });

  it('shows no terminal what moves its cursor, and says the same', async () => {
    const { run } = await commandLine();
    const value = 'A=\u009b2J\u202e\x7f\x1b[2J';
    const { stdout } = await run(['spec', '-e', value, 'job', IMAGE]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for.
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(JSON.parse(stdout).process.env).toContain(value);
    await run(['destroy', 'job']);
  });

  it('with the network of the machine shows its files, which the container cannot write', async () => {
    const { run } = await commandLine();
    const { mounts } = JSON.parse((await run(['spec', '--network', 'host', 'job', IMAGE])).stdout);
    for (const source of ['/etc/hosts', '/etc/resolv.conf']) {
      expect(mounts).toContainEqual(expect.objectContaining({ source, options: expect.arrayContaining(['ro']) }));
    }
    await run(['destroy', 'job']);
  });

  it('leaves nothing of what cannot be', async () => {
    const { run, root } = await commandLine();
    expect(await run(['spec', '-u', 'nobody-knows', 'job', IMAGE])).toMatchObject({ status: 1, stdout: '' });
    expect(await run(['spec', '--secret', 'a=/etc/hosts', 'job', IMAGE])).toMatchObject({ status: 1, stdout: '' });
    await expectNothingLeft(root);
  });
});
