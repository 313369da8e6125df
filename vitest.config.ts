import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** On two processors, too, two files at a time: Vitest alone would leave one of them to itself. */
const maxWorkers = Math.max(2, availableParallelism() - 1);

const SYSTEM_TESTS = {
  globalSetup: ['system-tests/helpers/global-setup.ts'],
  testTimeout: 120_000,
  hookTimeout: 300_000,
};

/**
 * System tests that may run beside each other. They look at nothing but stores, mounts and processes of their own, and at no clock: a machine that
 * is busy with another one of them changes nothing but how long they take. A new file runs alone until somebody has seen that it is like that.
 */
const SIDE_BY_SIDE = [
  'system-tests/backends/overlay-backend.test.ts',
  'system-tests/check/check-store.test.ts',
  'system-tests/cli/{check,clock,containers,copying,deleted-directory,foreign-files,forks,images,leases,killed-pulls,prune,pull-progress,terminals,volumes}.test.ts',
  'system-tests/containerizer/{abandoned,as-configured,bundle,containerizers,controls,device-hooks,devices,disk-limits,files,forks,host-network,launched,leases,meanwhile,monitor,prune,seccomp,secrets,starter,terminals,volume-places,volumes}.test.ts',
  'system-tests/metadata/{better-sqlite3-driver,older-records,older-versions,rows-of-others,sqlite-metadata-manager,sqlite-processes,two-installations}.test.ts',
  'system-tests/provisioner/{concurrency,counters,degraded-store,hardships,immutable-files,launches,layer-tar,lost-records,many-containers,mount-namespaces,no-layers}.test.ts',
  'system-tests/provisioner/{older-records,owners,prune,real-images,recovery,sha512,stopped-pulls,unrecorded-layers,upgrade,vast-containers}.test.ts',
  'system-tests/file-systems/matrix.test.ts',
  'system-tests/mounts/*.test.ts',
  'system-tests/registry/{authentication,client-certificates,foreign-auth-files,identity-tokens,logins,mirrors,near-hosts,proxies,pull,round-trip}.test.ts',
  'system-tests/seams/stacks.test.ts',
  'system-tests/store/{entries-that-resist,file-systems,found,marks-out-of-reach,one-file-system,other-users,read-only,replaced,user-namespaces}.test.ts',
  'system-tests/survival/{crash-points,hostile-state,killed-launches,killed-pools,launch-crash-points,pool-crash-points,power-cuts,random-kills,space-crash-points,volume-crash-points}.test.ts',
  'system-tests/tree/{copy-layers,ordinary-user,remove-tree,subvolumes}.test.ts',
  'system-tests/unpack/{attributes,endless-zstd,extended-attributes,full-file-systems,isal,native-file-tree,other-tools,other-users,podman,programs,real-writers,replacing,sparse-files,whiteouts,zstd}.test.ts',
];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'native-free',
          include: ['native-free-tests/**/*.test.ts'],
          maxWorkers,
          testTimeout: 20_000,
        },
      },
      {
        test: {
          ...SYSTEM_TESTS,
          name: 'system-side-by-side',
          include: SIDE_BY_SIDE,
          maxWorkers,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...SYSTEM_TESTS,
          name: 'system',
          include: ['system-tests/**/*.test.ts'],
          exclude: SIDE_BY_SIDE,
          // The rest measures time, fills disks, cuts the power or makes so many processes that the machine is to be its own.
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
