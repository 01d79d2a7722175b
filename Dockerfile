# Every part of meshwise and the sample shop in one image; the command says which part runs.
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 meshwise
WORKDIR /meshwise

COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock

COPY . .
RUN pip install --no-cache-dir --no-deps . && install -d -o meshwise /data

USER meshwise
ENTRYPOINT ["meshwise"]
