import { stat } from 'node:fs/promises';
import { ProvisionerError, systemCode } from '../base/errors.js';
import type { RegistryOptions } from './registry-options.js';

const FLAGS = { authFile: '--authfile', certDir: '--cert-dir', hostsDir: '--hosts-dir' } as const;

/**
 * Sees to it that the files and directories are there that a call names, whether it comes to ask a registry or not: a path that is misspelt is found out at once, and
 * not when the image happens to be missing. What is wrong inside of them is found out by whoever reads them.
 * @param given with the call itself; what holds for all calls may be made later
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG`
 */
export async function requireRegistryFiles(given: RegistryOptions = {}): Promise<void> {
  for (const option of ['authFile', 'certDir', 'hostsDir'] as const) {
    const path = given[option];
    if (path === undefined) continue;
    const problem = await problemOf(path, option === 'authFile');
    if (problem === undefined) continue;
    const what = option === 'authFile' ? 'the auth file' : 'the directory';
    throw new ProvisionerError('ERR_REGISTRY_CONFIG', `${what} ${path} ${problem}`, {
      hint: `check ${FLAGS[option]} (registry.${option})`,
      details: { path, option },
    });
  }
}

/** One that cannot be looked at may be there: reading it says what is the matter. */
async function problemOf(path: string, mayBeFile: boolean): Promise<string | undefined> {
  try {
    const found = await stat(path);
    return mayBeFile || found.isDirectory() ? undefined : 'is no directory';
  } catch (error) {
    const code = systemCode(error);
    return code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : undefined;
  }
}
