"""hopfix in other people's question-answering pipelines: an adapter for each framework, over `service.client`.

Each has its file and its extra (`pip install 'hopfix[langchain]'`); nothing else here imports a framework.
"""
