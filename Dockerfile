# hopfix on CPU. Not built where it was written (no container engine there); `make demo` runs the same steps.
FROM python:3.11-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY correction correction
COPY eval eval
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 HOPFIX_HOST=0.0.0.0 HOPFIX_PORT=8000
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /wheels
# PyTorch's own CPU index: the public package index has CUDA builds of several GB.
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt torch --index-url https://download.pytorch.org/whl/cpu \
 && pip install --no-cache-dir --constraint /tmp/constraints.txt /wheels/*.whl \
 && rm -rf /wheels /tmp/constraints.txt \
 && useradd --create-home hopfix
USER hopfix
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready')"]
# Listening beyond loopback needs a key: docker run -e HOPFIX_API_KEY=... -p 8000:8000 hopfix
ENTRYPOINT ["hopfix"]
CMD ["serve"]
