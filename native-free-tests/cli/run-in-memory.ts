import { Readable } from 'node:stream';
import { runCommandLine } from '#src/cli/run-command-line.js';

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line in this process. For what needs no store: it has none to give. */
export async function runInMemory(
  args: readonly string[],
  { stdinIsTerminal = false }: { readonly stdinIsTerminal?: boolean } = {},
): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  const status = await runCommandLine(args, {
    stdin: () => Object.assign(Readable.from([]), { isTTY: stdinIsTerminal }),
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: (text) => (stderr += text) },
    environment: { PROVISIONER_ROOT: '/nonexistent/store/of/a/test' },
    signal: new AbortController().signal,
  });
  return { status, stdout, stderr };
}
