import { CompiledCode, codeCacheDirectory } from './compiled-code.js';

/** Runs the command line. @param directory of its files, absolute @param first of them */
export function start(directory: string, first: string): void {
  const code = new CompiledCode(directory, codeCacheDirectory(process.env, process.geteuid?.()));
  process.once('exit', () => code.keep());
  code.load(first);
}
