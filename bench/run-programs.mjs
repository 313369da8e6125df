// What the benchmark of launches runs: a static program that tells when it began, an image of it, and one that starts commands as fast as can be and tells how long they took.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** `now`: prints the monotonic clock first of all. `true`: nothing. `stay`: until a SIGTERM, then ends with the code that it was given. */
const PAYLOAD = `#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static int code;
static void end(int s) { _exit(code); }
int main(int argc, char **argv) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
  if (!strcmp(name, "now")) printf("%ld%09ld\\n", t.tv_sec, t.tv_nsec);
  if (!strcmp(name, "stay")) {
    code = argc > 1 ? atoi(argv[1]) : 0;
    signal(SIGTERM, end);
    for (;;) pause();
  }
  return 0;
}
`;

/** `timed HIDE TIMES AT-ONCE COMMAND…`: \`@\` in an argument is a number. Prints for each the nanoseconds until the time that the command printed, if it printed one, and until it ended. */
const TIMED = `#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>
extern char **environ;
#define MOST 64
static long now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000L + t.tv_nsec; }
static struct { pid_t pid; long begun; int out; } running[MOST];
int main(int argc, char **argv) {
  if (*argv[1]) { unshare(CLONE_NEWNS); mount("none", "/", 0, MS_REC | MS_SLAVE, 0); mount("tmpfs", argv[1], "tmpfs", 0, 0); }
  int times = atoi(argv[2]), atOnce = atoi(argv[3]), begun = 0, ended = 0;
  while (ended < times) {
    while (begun < times && begun - ended < atOnce) {
      int slot = 0, ends[2];
      while (running[slot].pid) slot++;
      char **args = calloc(argc, sizeof *args);
      for (int i = 4; i < argc; i++) {
        char *at = strchr(argv[i], '@');
        if (!at) args[i - 4] = argv[i];
        else asprintf(&args[i - 4], "%.*s%d-%d%s", (int)(at - argv[i]), argv[i], getpid(), begun, at + 1);
      }
      pipe2(ends, O_CLOEXEC);
      running[slot].begun = now();
      pid_t pid = vfork();
      if (pid == 0) { dup2(ends[1], 1); execvp(args[0], args); _exit(127); }
      close(ends[1]);
      running[slot].pid = pid; running[slot].out = ends[0]; begun++;
    }
    int status, slot = 0;
    pid_t pid = wait(&status);
    long end = now();
    while (running[slot].pid != pid) slot++;
    char text[4096] = "";
    fcntl(running[slot].out, F_SETFL, O_NONBLOCK);
    read(running[slot].out, text, sizeof text - 1);
    close(running[slot].out);
    long told = strtol(text, 0, 10);
    printf("%ld %ld %d\\n", told ? told - running[slot].begun : 0, end - running[slot].begun, status);
    running[slot].pid = 0; ended++;
  }
}
`;

const sha256 = (/** @type {Buffer} */ bytes) => createHash('sha256').update(bytes).digest('hex');

/** @param {string} directory @returns paths of `timed` and of a docker archive, whose image is called `bench:1` */
export function makePrograms(directory) {
  mkdirSync(directory, { recursive: true });
  const compile = (/** @type {string} */ name, /** @type {string} */ text, /** @type {string[]} */ ...flags) => {
    writeFileSync(join(directory, `${name}.c`), text);
    execFileSync('gcc', ['-O2', '-w', ...flags, '-o', join(directory, name), join(directory, `${name}.c`)]);
  };
  compile('timed', TIMED);
  const rootfs = join(directory, 'rootfs');
  for (const path of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'run'])
    mkdirSync(join(rootfs, path), { recursive: true });
  compile('rootfs/bin/now', PAYLOAD, '-static');
  for (const name of ['true', 'stay']) symlinkSync('now', join(rootfs, 'bin', name));
  writeFileSync(join(rootfs, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  for (const name of ['hosts', 'hostname', 'resolv.conf']) writeFileSync(join(rootfs, 'etc', name), '');
  const archive = join(directory, 'image');
  mkdirSync(archive);
  const tar = (/** @type {string} */ file, /** @type {string} */ of) =>
    execFileSync('tar', ['-C', of, '-cf', file, '.']);
  tar(join(archive, 'layer.tar'), rootfs);
  const config = JSON.stringify({
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: { Cmd: ['/bin/now'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(readFileSync(join(archive, 'layer.tar')))}`] },
  });
  writeFileSync(join(archive, 'config.json'), config);
  const manifest = [{ Config: 'config.json', RepoTags: ['bench:1'], Layers: ['layer.tar'] }];
  writeFileSync(join(archive, 'manifest.json'), JSON.stringify(manifest));
  execFileSync('tar', [
    '-C',
    archive,
    '-cf',
    join(directory, 'image.tar'),
    'manifest.json',
    'config.json',
    'layer.tar',
  ]);
  return { timed: join(directory, 'timed'), image: join(directory, 'image.tar') };
}
