import type { RuntimeHere } from '../../../containerizer/index.js';
import type { StoreInfo } from '../../../index.js';
import { packageVersion } from '../../package-version.js';

/** What `info` shows, in `--json`; `docs/cli.md` promises this shape. */
export function infoDocument(info: StoreInfo, runtimes: readonly RuntimeHere[]) {
  const { root, format, degradation, readOnly, syscalls, sqlite, gzip, zstd, workers, backends } = info;
  const { images, layers, containers, lock, gc } = info;
  return {
    root,
    format: { version: format.version, whiteouts: format.whiteouts },
    degraded: degradation === undefined ? null : { reason: degradation.reason, hint: degradation.hint },
    readOnly: readOnly === undefined ? null : { reason: readOnly.reason, hint: readOnly.hint },
    versions: { provisioner: packageVersion(), node: process.versions.node },
    syscalls,
    sqlite: sqlite ?? null,
    gzip,
    zstd,
    workers,
    images,
    layers,
    containers,
    lock: { holders: lock.holders, writer: lock.writer ?? null },
    gc,
    backends: backends.map(({ name, usable, chosen, reason }) => ({ name, usable, chosen, reason })),
    runtimes: runtimes.map(({ name, program, version, problem, isDefault, knownHoles }) => ({
      name,
      program,
      version: version ?? null,
      problem: problem ?? null,
      default: isDefault,
      knownHoles,
    })),
  };
}
