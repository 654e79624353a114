# The image of Docket: docs/deployment.md tells how it is built and run.
#
# Base: the Node of the development dependency `node`, by its full version; a test holds them equal.
# No RUN names an absolute path (WORKDIR does): test/integration/image.test.ts takes the same steps in a folder of its own.

FROM node:24.21.0-bookworm-slim AS build
# Where there is another npm registry: docker build --build-arg NPM_CONFIG_REGISTRY=ADDRESS
ARG NPM_CONFIG_REGISTRY
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
COPY scripts/stubs/ scripts/stubs/
# Scripts of packages stay off: nothing is compiled, and nothing is fetched from elsewhere than the registry.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts/build.ts scripts/
COPY src/ src/
RUN node scripts/build.ts

FROM node:24.21.0-bookworm-slim AS dependencies
ARG NPM_CONFIG_REGISTRY
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY scripts/trimDependencies.ts scripts/
RUN node scripts/trimDependencies.ts

FROM node:24.21.0-bookworm-slim
LABEL org.opencontainers.image.title="Docket" \
      org.opencontainers.image.description="Docket tells senders what became of their message: received, understood, kept." \
      org.opencontainers.image.licenses="Apache-2.0"

# What the bot does not need. It makes the image no smaller, the base is below it; but what is not there can't be used by an intruder.
WORKDIR /opt
RUN rm -rf yarn-*
WORKDIR /usr/local
RUN rm -rf include lib/node_modules bin/corepack bin/docker-entrypoint.sh bin/npm bin/npx bin/yarn bin/yarnpkg

# A named volume takes owner and mode from here. 10001 is nobody's account, neither in the base nor on most hosts.
WORKDIR /var/lib
RUN mkdir -m 0700 docket && chown 10001:10001 docket

# Everything else belongs to root, and the bot can't write it. The licences: LICENSE is Docket's own; dist/THIRD-PARTY-LICENSES.txt
# has those of what is in the bundle; each package in node_modules/ has its own.
WORKDIR /app
COPY --chmod=0644 package.json LICENSE ./
COPY --from=build /build/dist/ dist/
COPY --from=dependencies /build/node_modules/ node_modules/

USER 10001:10001
VOLUME ["/var/lib/docket"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["node", "/app/dist/docket.mjs", "health", "--config", "/etc/docket/config.yaml"]
ENTRYPOINT ["node", "/app/dist/docket.mjs"]
CMD ["start", "--config", "/etc/docket/config.yaml"]
