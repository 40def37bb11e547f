# Node 24, not root. Targets: service (the default: neither development nor optional packages, no embedded PostgreSQL, no simulator) and
# simulator, which needs a development package for its cryptography.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json nest-cli.json rolldown.config.mjs ./
COPY src ./src
RUN npm run build

FROM build AS pruned
RUN npm prune --omit=dev --omit=optional && rm -rf dist/simulator

FROM node:24-slim AS simulator
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist/simulator ./dist/simulator
RUN mkdir /simulator && chown node /simulator
USER node
EXPOSE 8443 8444
CMD ["node", "dist/simulator/main.js"]

FROM node:24-slim AS service
ENV NODE_ENV=production
WORKDIR /app
COPY --from=pruned /app/package.json ./
COPY --from=pruned /app/node_modules ./node_modules
COPY --from=pruned /app/dist ./dist
COPY migrations ./migrations
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.PORT || 3000) + '/health/live').then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--max-old-space-size=512", "--max-semi-space-size=16", "--heap-growing-percent=200", "dist/main.js"]
