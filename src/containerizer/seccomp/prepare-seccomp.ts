import { isAbsolute } from 'node:path';
import { firstLine, isShortage, ProvisionerError, systemCode } from '../../base/errors.js';
import { compileSeccomp } from '../../system/seccomp/compile-seccomp.js';
import type { OciSeccomp } from '../../system/seccomp/oci-seccomp.js';
import { DEFAULT_PROFILE } from './default-profile.js';
import { keepingProjects } from './keeping-projects.js';
import { keptFilter } from './kept-filters.js';
import { ociSeccompOf, seccompContext } from './oci-seccomp-of.js';
import { readSeccompProfile } from './read-seccomp-profile.js';

/** Where crun takes a program that it need not make first. @see crun(1), `run.oci.seccomp_bpf_data` */
export const SECCOMP_ANNOTATION = 'run.oci.seccomp_bpf_data';

/** What of a container's bundle says which system calls it may make. */
export interface PreparedSeccomp {
  /** `linux.seccomp`, for runtimes that make the program themselves. It goes into the bundle also where crun gets the program: it takes that first. */
  readonly oci: OciSeccomp;
  /** The program, as the value of `SECCOMP_ANNOTATION`: Base64. Undefined where it cannot be made here. */
  readonly annotation: string | undefined;
}

/** The default filter, by the capabilities that it is for, and where it is kept: most launches have the same. */
const defaults = new Map<string, PreparedSeccomp>();

/**
 * @param seccomp `default`, `unconfined`, or the absolute path of a profile as Docker and podman have them @param capabilities of the container, as `CAP_CHOWN`: its bounding set
 * @param place a directory of this boot, where programs that have been made are kept
 * @returns undefined when it may make all
 * @throws ProvisionerError `ERR_SECCOMP_PROFILE`, `ERR_NO_DESCRIPTORS`
 */
export async function prepareSeccomp(
  seccomp: string,
  capabilities: readonly string[],
  place: string,
): Promise<PreparedSeccomp | undefined> {
  const key = JSON.stringify([place, capabilities]);
  const known = seccomp === 'default' ? defaults.get(key) : undefined;
  if (known !== undefined) return known;
  const oci = await plainSeccomp(seccomp, capabilities);
  if (oci === undefined) return undefined;
  const prepared = await preparedOf(oci, seccomp, place);
  if (seccomp === 'default') defaults.set(key, prepared);
  return prepared;
}

/** As it is, or for a container whose files are to stay with their project. @throws as `prepareSeccomp` */
export async function withProjects(
  prepared: PreparedSeccomp | undefined,
  isKeeping: boolean,
  seccomp: string,
  place: string,
): Promise<PreparedSeccomp | undefined> {
  return prepared && isKeeping ? preparedOf(keepingProjects(prepared.oci), seccomp, place) : prepared;
}

/** Of a filter that is known already. @param seccomp for messages @throws as `prepareSeccomp` */
export async function preparedOf(oci: OciSeccomp, seccomp: string, place: string): Promise<PreparedSeccomp> {
  return { oci, annotation: await keptFilter(place, oci, () => compiled(oci, seccomp)) };
}

/** The same for runtimes that make the program themselves. */
export async function plainSeccomp(seccomp: string, capabilities: readonly string[]): Promise<OciSeccomp | undefined> {
  if (seccomp === 'unconfined') return undefined;
  if (seccomp !== 'default' && !isAbsolute(seccomp)) {
    throw new ProvisionerError('ERR_BAD_OPTION', `the seccomp profile ${JSON.stringify(seccomp)} is no absolute path`, {
      hint: 'name a file by its absolute path, or write `default` or `unconfined`',
      details: { seccomp },
    });
  }
  const profile = seccomp === 'default' ? DEFAULT_PROFILE : await readSeccompProfile(seccomp);
  return ociSeccompOf(profile, seccompContext(capabilities));
}

async function compiled(oci: OciSeccomp, seccomp: string): Promise<Buffer | undefined> {
  try {
    return await compileSeccomp(oci);
  } catch (cause) {
    if (systemCode(cause) === undefined || isShortage(cause)) throw cause;
    throw new ProvisionerError(
      'ERR_SECCOMP_PROFILE',
      `no filter can be made of the seccomp profile ${seccomp}: ${firstLine(cause)}`,
      {
        cause,
        hint: 'libseccomp refuses what the message names: correct the profile, or leave it out; the default profile holds then',
        details: { path: seccomp, problem: firstLine(cause) },
      },
    );
  }
}
