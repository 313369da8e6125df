import { fileError } from '../base/errors.js';
import { abortOnSignals, Interruption } from './interruption.js';
import { Output } from './output/output.js';
import { runCommandLine } from './run-command-line.js';
import { hostTerminal } from './terminal/host-terminal.js';

let outputLost = false;

// Whoever reads has seen enough: the work is finished all the same, and nothing more is said. A full disk is another matter.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE' || outputLost) return;
  outputLost = true;
  process.exitCode = 1;
  const { stdout, stderr, argv } = process;
  const lost = fileError(error, 'write the output', 'standard output');
  new Output({ stdout, stderr, quiet: false, json: argv.includes('--json'), debug: argv.includes('--debug') }).failure(
    lost,
  );
});
process.stderr.on('error', () => {});

// Node would open its debugger, to whoever is on this machine.
process.on('SIGUSR1', () => {});

function onSignals(names: readonly NodeJS.Signals[], heard: (name: NodeJS.Signals) => void): () => void {
  for (const name of names) process.on(name, heard);
  return () => {
    for (const name of names) process.off(name, heard);
  };
}

async function main(): Promise<void> {
  const interruptions = abortOnSignals();
  const status = await runCommandLine(process.argv.slice(2), {
    stdin: () => process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    environment: process.env,
    ...interruptions,
    onSignals,
    terminal: hostTerminal(process),
  });
  const { reason } = interruptions.signal;
  const isHungUp = reason instanceof Interruption && reason.signal === 'SIGHUP' && status === reason.exitStatus;
  if (isHungUp && [process.stdin, process.stdout, process.stderr].some(({ isTTY }) => isTTY)) {
    // Node aborts where it finds a terminal gone that it wants to leave as it was.
    process.removeAllListeners('SIGHUP');
    process.kill(process.pid, 'SIGHUP');
  }
  // The process ends by itself, once its output is written.
  if (status !== 0) process.exitCode = status;
}

// Not awaited: what is installed is a CommonJS bundle, which starts sooner than one of ES modules and knows no await up here.
void main();
