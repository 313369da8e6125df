import { readdirSync, readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { expectNothingLeft, IMAGE, processesOf, storeWithBusybox } from '../helpers/containers.js';
import { describeWith } from '../helpers/requirements.js';
import { Screen } from '../helpers/screens.js';
import { MAIN, newStore } from './run-cli.js';

const SOON = { timeout: 15_000, interval: 25 };
const SIZE = { rows: 24, columns: 90 };

/** Somebody who sits at a terminal, where `p` is the command line. */
async function sitting(size = SIZE) {
  const { root, containers } = await storeWithBusybox();
  const screen = await Screen.open(size, { PROVISIONER_ROOT: root }, { p: `${process.execPath} ${MAIN}` });
  const { start } = newStore();
  return { root, containers, screen, run: (...args: string[]) => start(['--root', root, ...args]).done };
}

/** The terminal works as before: what is typed shows once, and lines begin at the left. */
async function expectOrdinary(screen: Screen): Promise<void> {
  screen.type(
    'clear; stty -a | tr ";" " " | grep -o "[-]*isig [-]*icanon\\|[-]*opost\\|[-]*onlcr" | tr "\\n" " "; echo end\n',
  );
  await screen.shows(/^end|end$/m);
  expect(screen.text.replace(/^.*stty.*$/m, '')).not.toMatch(/-isig|-icanon|-opost|-onlcr/);
}

describeWith(['root', 'overlay', 'crun', 'busybox', 'cgroups', 'tmux'], 'somebody who sits at a terminal', () => {
  it('works in a container as in a window of his own: with its size, which may change, Ctrl-C, Ctrl-Z and Ctrl-D', async () => {
    const { screen, root } = await sitting();
    screen.type(`p run --rm -it ${IMAGE} sh\n`);
    await screen.shows('/ #');
    screen.type('stty size; tty\n');
    await screen.shows('24 90\n/dev/pts/0');
    screen.resize({ rows: 30, columns: 100 });
    await vi.waitFor(() => {
      screen.type('stty size\n');
      expect(screen.text).toContain('30 100');
    }, SOON);
    screen.type('clear; echo one; sleep 100\n');
    await screen.shows(/^one$/m);
    screen.press('C-c');
    await screen.shows(/\^C\n\/ #/);
    screen.type('echo rc $?\n');
    await screen.shows('rc 130');
    screen.type('clear; echo two; sleep 100\n');
    await screen.shows(/^two$/m);
    screen.press('C-z');
    await screen.shows('Stopped');
    screen.type('fg\n');
    await screen.shows(/fg\nsleep 100$/);
    screen.press('C-c');
    await screen.shows(/\^C\n\/ #$/);
    screen.type('clear; cat\n');
    await screen.shows(/^\s*$/);
    screen.type('typed once\n');
    await screen.shows('typed once\ntyped once');
    screen.press('C-d');
    await screen.shows(/once\n\/ #/);
    screen.type('exit 9\n');
    await screen.prompts();
    screen.type('echo rc $?\n');
    await screen.shows('rc 9');
    await expectOrdinary(screen);
    await expectNothingLeft(root);
  });

  it('sees programs that draw the whole screen, draws it anew with each size, and finds it drawn when he comes back', async () => {
    const { screen } = await sitting();
    screen.type(`p run -it --name box ${IMAGE} top\n`);
    await screen.shows(/PID +PPID USER/);
    await screen.shows(/ {4}1 +0 root +R/);
    screen.resize({ rows: 12, columns: 60 });
    await vi.waitFor(() => {
      expect(screen.text.split('\n').length).toBeLessThanOrEqual(12);
      expect(screen.text).toMatch(/PID +PPID/);
    }, SOON);
    screen.press('C-p', 'C-q');
    await screen.shows('container box goes on');
    screen.type('clear; p attach box\n');
    await screen.shows(/PID +PPID USER/);
    screen.press('q');
    await screen.prompts();
    await expectOrdinary(screen);
  });

  it('edits a file with an editor that runs beside the program, and sees a bar of progress move', async () => {
    const { screen, containers } = await sitting();
    await containers.launch('job', IMAGE, { command: ['sleep', '600'] });
    screen.type('p exec -it job vi /tmp/file\n');
    await screen.shows(/^~\n~/m);
    screen.type('ihello world');
    await screen.shows('hello world');
    screen.press('Escape');
    await new Promise((resolve) => setTimeout(resolve, 300));
    screen.type(':wq\n');
    await screen.prompts();
    const pieces: Uint8Array[] = [];
    for await (const piece of containers.files('job').read('/tmp/file')) pieces.push(piece);
    expect(Buffer.concat(pieces).toString()).toBe('hello world\n');
    screen.type(
      `clear; p exec -t job sh -c 'for n in 1 2 3 4 5; do printf "\\r[%5s] $n/5" $(yes "#" | head -n $n | tr -d "\\n"); sleep 0.1; done; echo; echo done'\n`,
    );
    await screen.shows(/^done$/m);
    expect(screen.text).toMatch(/^\[#####\] 5\/5$/m);
    expect(screen.text).not.toContain('1/5');
    await expectOrdinary(screen);
  });

  it('shares a terminal with others, and sees what they do', async () => {
    const { screen, root, run } = await sitting();
    expect(await run('run', '-dit', '--name', 'box', IMAGE, 'sh')).toMatchObject({ status: 0, stdout: 'box\n' });
    const other = await Screen.open(SIZE, { PROVISIONER_ROOT: root }, { p: `${process.execPath} ${MAIN}` });
    for (const each of [screen, other]) each.type('clear; p attach box\n');
    // Sitting down draws nothing of a shell's prompt: who types sees it.
    await vi.waitFor(() => {
      screen.type('\n');
      for (const each of [screen, other]) expect(each.text).toContain('/ #');
    }, SOON);
    screen.type('echo from one-$((6 * 7))\n');
    for (const each of [screen, other]) await each.shows('from one-42');
    other.type('echo from two-$((6 * 7))\n');
    for (const each of [screen, other]) await each.shows('from two-42');
    const looking = await Screen.open(SIZE, { PROVISIONER_ROOT: root }, { p: `${process.execPath} ${MAIN}` });
    looking.type('p attach --no-stdin box\n');
    await vi.waitFor(() => {
      screen.type('echo three-$((6 * 7))\n');
      expect(looking.text).toContain('three-42');
    }, SOON);
    looking.press('C-c');
    await looking.shows(/goes on[\s\S]*host#/);
    screen.type('exit 3\n');
    for (const each of [screen, other]) {
      await each.prompts();
      each.type('echo rc $?\n');
      await each.shows('rc 3');
    }
  });

  it('loses nothing but his seat when his window is closed or his client is ended, and what exec ran goes with it', async () => {
    const { screen, root, containers } = await sitting();
    screen.type(`p run -it --name box ${IMAGE} sh\n`);
    await screen.shows('/ #');
    const other = await Screen.open(SIZE, { PROVISIONER_ROOT: root }, { p: `${process.execPath} ${MAIN}` });
    other.type('p exec -it box sh\n');
    await other.shows('/ #');
    other.type('sleep 600\n');
    await vi.waitFor(() => expect(processesOf(root).inContainers).toHaveLength(3), SOON);
    other.close();
    await vi.waitFor(() => expect(processesOf(root).inContainers).toHaveLength(1), SOON);
    screen.close();
    const last = await Screen.open(SIZE, { PROVISIONER_ROOT: root }, { p: `${process.execPath} ${MAIN}` });
    last.type('p attach box & jobs; fg\n');
    await vi.waitFor(() => {
      last.type('\n');
      expect(last.text).toContain('/ #');
    }, SOON);
    expect(await containers.get('box')).toMatchObject({ state: 'running' });
    last.type('kill -STOP 1; echo still\n');
    await last.shows(/^still$/m);
    const clients = clientsOf('attach', 'box');
    expect(clients).toHaveLength(1);
    for (const pid of clients) process.kill(pid, 'SIGTERM');
    await last.shows('cancelled by SIGTERM');
    await last.prompts();
    last.type('echo rc $?\n');
    await last.shows('rc 143');
    await expectOrdinary(last);
    expect(await containers.get('box')).toMatchObject({ state: 'running' });
  });

  it('sees the prompt soon after he has interrupted a flood, and may have no keys that leave it', async () => {
    const { screen, root } = await sitting();
    screen.type(`p run --rm -it --detach-keys '' --name box ${IMAGE} sh\n`);
    await screen.shows('/ #');
    screen.press('C-p', 'C-q');
    screen.type('yes 0123456789012345678901234567890123456789\n');
    await new Promise((resolve) => setTimeout(resolve, 2000));
    screen.press('C-c');
    await screen.shows(/\/ #$/);
    screen.type('exit 4\n');
    await screen.prompts();
    screen.type('echo rc $?\n');
    await screen.shows('rc 4');
    await expectNothingLeft(root);
  });

  it('leaves a program that reads nothing of what he pasted', async () => {
    const { screen, containers } = await sitting();
    await containers.launch('deaf', IMAGE, { command: ['sleep', '600'], terminal: SIZE });
    screen.type('p attach deaf\n');
    await vi.waitFor(() => expect(clientsOf('attach', 'deaf')).toHaveLength(1), SOON);
    await new Promise((resolve) => setTimeout(resolve, 500));
    screen.paste('x'.repeat(300_000));
    screen.press('C-p', 'C-q');
    await screen.shows('goes on');
    await screen.prompts();
    await vi.waitFor(() => expect(clientsOf('attach', 'deaf')).toEqual([]), SOON);
  });

  it('has a program hung up that exec runs for him when its client is ended, and his terminal as it was', async () => {
    const { screen, containers } = await sitting();
    await containers.launch('job', IMAGE, { command: ['sleep', '600'] });
    const script = 'trap "echo hung up >/told; exit 0" HUP; echo ready; while :; do sleep 0.05; done';
    for (const [signal, status] of [
      ['SIGTERM', 143],
      ['SIGHUP', 129],
      ['SIGQUIT', 131],
    ] as const) {
      await containers
        .files('job')
        .remove('/told')
        .catch(() => undefined);
      await screen.clear();
      screen.type(`p exec -it job sh -c '${script}' ${signal}; echo rc $?\n`);
      await screen.shows(/^ready$/m);
      const clients = clientsOf(signal);
      expect(clients).toHaveLength(1);
      for (const pid of clients) process.kill(pid, signal);
      await screen.shows(/^.*rc \d+$/m);
      expect(screen.text).toContain(`rc ${status}`);
      await vi.waitFor(async () => expect((await containers.files('job').stat('/told')).size).toBe(8), SOON);
      await expectOrdinary(screen);
    }
  });

  it('finds his terminal as it was also when his client was put aside meanwhile, with nobody who puts that right', async () => {
    const { screen, containers } = await sitting();
    await containers.launch('job', IMAGE, { command: ['cat'], terminal: SIZE });
    screen.type(`bash -c '${process.execPath} ${MAIN} attach job; :'\n`);
    await vi.waitFor(() => expect(clientsOf('attach', 'job')).toHaveLength(1), SOON);
    await vi.waitFor(() => {
      screen.type('x\n');
      expect(screen.text).toContain('x\nx');
    }, SOON);
    const [client = 0] = clientsOf('attach', 'job');
    expect(client).toBeGreaterThan(1);
    for (const signal of ['SIGSTOP', 'SIGCONT'] as const) {
      process.kill(client, signal);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    screen.press('C-p', 'C-q');
    await screen.shows('goes on');
    await screen.prompts();
    await expectOrdinary(screen);
  });

  it('is told the status of a program as it is, also one that looks like a hang-up of his own', async () => {
    const { screen } = await sitting();
    screen.type(`clear; p run --rm -it ${IMAGE} sh -c 'exit 129'; echo rc $?\n`);
    await screen.shows(/^rc 129$/m);
    expect(screen.text).not.toContain('Hangup');
  });

  it('is told in a line or two what cannot be done', async () => {
    const { screen, containers } = await sitting();
    await containers.launch('plain', IMAGE, { command: ['sleep', '600'] });
    screen.type('clear; p attach plain; echo rc $?\n');
    await screen.shows('rc 125');
    expect(screen.text).toContain('the program of container plain has no terminal');
    screen.type('clear; p attach --detach-keys ctrl-1 plain; echo rc $?\n');
    await screen.shows('rc 2');
    screen.type(`clear; p run --rm -it ${IMAGE} nothing-like-it; echo rc $?\n`);
    await screen.shows('rc 127');
    screen.type('clear; p exec -it plain nothing-like-it; echo rc $?\n');
    await screen.shows('rc 127');
    screen.type('clear; p exec -it nobody sh; echo rc $?\n');
    await screen.shows('rc 125');
    await expectOrdinary(screen);
  });
});

describeWith(['root', 'overlay', 'crun', 'busybox', 'cgroups'], 'a program whose terminal is nobody’s', () => {
  it('is typed what is piped in, and told its end', async () => {
    const { root } = await storeWithBusybox();
    const { start } = newStore();
    const ended = await start(['--root', root, 'run', '--rm', '-it', IMAGE, 'sh', '-c', 'stty size; cat; exit 4'], {
      input: 'one\ntwo\n',
    }).done;
    expect(ended).toMatchObject({ status: 4, stderr: '' });
    // As on every terminal, what is typed shows, and what is printed.
    expect(ended.stdout.match(/two/g)).toHaveLength(2);
    expect(ended.stdout).toContain('24 80\r\n');
    await expectNothingLeft(root);
  });

  it('reads a last line that has no end', async () => {
    const { root, containers } = await storeWithBusybox();
    const { start } = newStore();
    await containers.launch('job', IMAGE, { command: ['sleep', '600'] });
    const ended = await start(['--root', root, 'exec', '-it', 'job', 'cat'], { input: 'abc' }).done;
    expect(ended).toMatchObject({ status: 0, stdout: 'abcabc' });
  });

  it('is not ended by whoever only looked on, or typed something and left', async () => {
    const { root, containers } = await storeWithBusybox();
    const { start } = newStore();
    await containers.launch('job', IMAGE, { command: ['sh'], terminal: SIZE });
    for (const input of ['', 'echo from $((6 * 7))\n']) {
      const client = start(['--root', root, 'attach', 'job'], { input });
      await new Promise((resolve) => setTimeout(resolve, 800));
      client.process.kill('SIGTERM');
      expect(await client.done).toMatchObject({ status: 143 });
    }
    let log = '';
    for await (const { bytes } of containers.logs('job')) log += bytes.toString();
    expect(log).toContain('from 42');
    expect(await containers.get('job')).toMatchObject({ state: 'running' });
  });

  it('hears of signals that come to whoever only prints what it shows', async () => {
    const { root, containers } = await storeWithBusybox();
    const { start } = newStore();
    const script = 'trap "echo told; exit 5" TERM; echo ready; while :; do sleep 0.05; done';
    const client = start(['--root', root, 'run', '-t', '--name', 'job', IMAGE, 'sh', '-c', script]);
    await vi.waitFor(async () => expect(await containers.get('job')).toMatchObject({ state: 'running' }), SOON);
    await new Promise((resolve) => setTimeout(resolve, 500));
    client.process.kill('SIGTERM');
    expect(await client.done).toMatchObject({ status: 5, stdout: 'ready\r\ntold\r\n' });
  });

  it('is taken for one by it, whoever runs it, and however long nobody looks', async () => {
    const { root } = await storeWithBusybox();
    const { start } = newStore();
    const run = (...args: string[]) => start(['--root', root, ...args]).done;
    expect(await run('run', '-t', '--name', 'job', '-u', 'alice', IMAGE, 'sh', '-c', 'tty; echo $TERM')).toEqual({
      status: 0,
      stdout: '/dev/pts/0\r\nxterm\r\n',
      stderr: '',
    });
    expect(await run('logs', 'job')).toMatchObject({ stdout: '/dev/pts/0\r\nxterm\r\n' });
  });
});

/** Command lines that end so. */
function clientsOf(...words: string[]): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return line.includes(`\0${MAIN}\0`) && line.endsWith(`\0${words.join('\0')}\0`);
      } catch {
        return false;
      }
    });
}
