# Two images: docker build .  (CPU, the default), docker build --target cuda .  (with vLLM, for GPUs).
# Neither was built where this was written, where no container engine runs: deploy/replay.py replays the steps of the
# first in a bare Debian, the second has not been run at all. Both listen on all addresses and so want a key:
#   docker run -e HOPFIX_API_KEY=... -p 127.0.0.1:8000:8000 hopfix
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY correction correction
COPY eval eval
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# vLLM's own image has CUDA and everything that vLLM compiles with. What is there keeps its version.
FROM vllm/vllm-openai:v0.32.0 AS cuda
ENV PYTHONUNBUFFERED=1 HOPFIX_HOST=0.0.0.0 HOPFIX_PORT=8000 HOPFIX_ENGINE=vllm
COPY --from=wheel /wheels /wheels
RUN pip freeze > /wheels/there.txt \
 && pip install --no-cache-dir --constraint /wheels/there.txt "$(echo /wheels/*.whl)[otel]" \
 && rm -rf /wheels \
 && useradd --create-home hopfix \
 && install --directory --owner hopfix /home/hopfix/.cache
USER hopfix
WORKDIR /home/hopfix
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=600s CMD ["python3", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"HOPFIX_PORT\"]}/ready')"]
ENTRYPOINT ["hopfix"]
CMD ["serve"]

FROM python:3.11-slim-bookworm AS cpu
# PyTorch's own index of CPU builds: the public package index has CUDA builds of several GB.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHONUNBUFFERED=1 HOPFIX_HOST=0.0.0.0 HOPFIX_PORT=8000
COPY constraints.txt /wheels/
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir --constraint /wheels/constraints.txt --index-url "$TORCH_INDEX" torch \
 && pip install --no-cache-dir --constraint /wheels/constraints.txt "$(echo /wheels/*.whl)[otel]" \
 && rm -rf /wheels \
 && useradd --create-home hopfix \
 && install --directory --owner hopfix /home/hopfix/.cache
USER hopfix
WORKDIR /home/hopfix
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"HOPFIX_PORT\"]}/ready')"]
ENTRYPOINT ["hopfix"]
CMD ["serve"]
