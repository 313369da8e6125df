/** Commands that hands know from Docker or podman, and what does the same here, or that nothing does. */
export const KNOWN_ELSEWHERE: Readonly<Record<string, string>> = {
  rm: '`provisioner destroy ID` removes a container, `rmi` an image',
  rename: 'a container keeps its id: destroy it, and run it with `--name`',
  attach: 'programs have no terminal yet: `logs -f` shows what one prints, `exec` runs another in it',
  diff: 'it is not there yet: `export` writes the whole root filesystem',
  commit: 'it is not there yet: `export` writes the whole root filesystem',
  build: 'build it with another tool, and `load` what that writes',
  import: '`load` takes archives of images alone',
  history: '`inspect IMAGE` shows the layers',
  save: 'it is not there yet',
  push: 'it is not there yet',
  search: '`tags REPOSITORY` lists what a repository has',
  version: '`--version` prints it, `info` tells more',
  container: 'leave the word out: `provisioner ps`',
  image: 'leave the word out: `provisioner images`',
  system: 'leave the word out: `provisioner df`, `prune`, `info`',
  compose: 'each container is run by itself',
};
